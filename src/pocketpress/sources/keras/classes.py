"""What a file may name.  Where each class is imported from is decided here, never by the file."""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


MODELS = {
    "Functional": "keras.src.models.functional",
    "Model": "keras.src.models.functional",
    "Sequential": "keras",
}
"""Kinds of networks; Keras 2 wrote a functional network as ``Model`` or ``Functional``."""
RENAMED = {"Model": "Functional"}

LAYERS = _names(
    """
        InputLayer Dense Activation Identity Dropout SpatialDropout1D SpatialDropout2D
        GaussianDropout GaussianNoise AlphaDropout ActivityRegularization Flatten Reshape Permute
        RepeatVector EinsumDense Embedding Masking Conv1D Conv2D Convolution1D Convolution2D
        Conv2DTranspose Convolution2DTranspose Conv1DTranspose DepthwiseConv1D DepthwiseConv2D
        SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D MaxPooling1D
        MaxPooling2D MaxPool1D MaxPool2D AveragePooling1D AveragePooling2D AvgPool1D AvgPool2D
        GlobalAveragePooling1D GlobalAveragePooling2D GlobalAvgPool1D GlobalAvgPool2D
        GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPool1D GlobalMaxPool2D
        AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveMaxPooling1D AdaptiveMaxPooling2D
        BatchNormalization LayerNormalization GroupNormalization RMSNormalization UnitNormalization
        Normalization ReLU LeakyReLU PReLU ELU Softmax Add Subtract Multiply Average Maximum Minimum
        Concatenate Dot Attention AdditiveAttention MultiHeadAttention GroupQueryAttention
        GroupedQueryAttention UpSampling1D UpSampling2D ZeroPadding1D ZeroPadding2D Cropping1D
        Cropping2D Rescaling Resizing CenterCrop RandomFlip RandomRotation RandomZoom RandomContrast
        RandomBrightness RandomTranslation RandomCrop GRU LSTM SimpleRNN Bidirectional
        TimeDistributed
    """
)
"""Layers of ``keras.layers`` that compute from their configuration and their weights alone."""

REFUSED = {
    **dict.fromkeys(
        ("Lambda", "TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"),
        "it holds Python or TensorFlow code: write it as Keras layers or operations, and save again",
    ),
    **dict.fromkeys(
        ("TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"), "it wraps a network of another library"
    ),
    **dict.fromkeys(
        ("RNN", "ConvLSTM1D", "ConvLSTM2D", "LSTMCell", "GRUCell", "SimpleRNNCell",
         "StackedRNNCells"),
        "use GRU, LSTM, SimpleRNN or Bidirectional",
    ),
}  # fmt: skip
"""Why some well-known classes cannot be read."""

ACTIVATIONS = _names(
    """
        linear relu relu6 elu selu gelu sigmoid hard_sigmoid tanh hard_tanh silu swish hard_silu
        celu squareplus tanh_shrink
        soft_shrink hard_swish softmax log_softmax leaky_relu exponential softplus softsign mish log_sigmoid
    """
)

OPERATIONS = {
    **dict.fromkeys(
        _names(
            """
        Absolute Abs Add Subtract Multiply Divide TrueDivide Negative Maximum Minimum Power Square
        Sqrt Exp Log Reciprocal Clip Mean Sum Max Min Reshape Squeeze ExpandDims Transpose Swapaxes
        Moveaxis Concatenate Stack Split Pad GetItem Matmul Tanh BroadcastTo Repeat Tile Einsum
        Tensordot Dot Var Std Flip Roll Cumsum
        """
        ),
        "keras.src.ops.numpy",
    ),
    **dict.fromkeys(
        _names(
            """
        Relu Relu6 Elu Selu Gelu Sigmoid HardSigmoid Silu HardSilu HardTanh LeakyRelu Softmax
        LogSoftmax Softplus Softsign LogSigmoid MaxPool AveragePool AdaptiveAveragePool Conv
        DepthwiseConv SeparableConv ConvTranspose BatchNorm LayerNorm RMSNorm Normalize DepthToSpace
        SpaceToDepth DotProductAttention
        """
        ),
        "keras.src.ops.nn",
    ),
    **dict.fromkeys(("Rsqrt", "Logsumexp"), "keras.src.ops.math"),
    "Resize": "keras.src.ops.image",
    "Cast": "keras.src.ops.core",
}
"""Operations of ``keras.ops`` that a functional network may call without a layer."""

LITERALS = frozenset({"__keras_tensor__", "__tensor__", "__numpy__", "__slice__", "__ellipsis__"})
"""Values that Keras spells as objects."""
LITERAL_DTYPES = frozenset({"float16", "float32", "float64", "int8", "uint8", "int32", "int64", "bool"})

OWNERS = ("keras", "tensorflow.keras", "tensorflow.python.keras", "tf_keras", "tf.keras")
"""Packages whose classes these are, under the names that versions of Keras have had."""
