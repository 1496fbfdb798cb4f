"""Which class loads an architecture, and what its output holds that is worth having."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pocketpress.core.errors import SourceError, UnsupportedError


@dataclass(frozen=True)
class Head:
    """A kind of task.

    Attributes:
        auto: class of transformers that loads it.
        outputs: fields of the network's result, in order.
        encoder: only the encoder of an encoder-decoder network is taken.
        classes: its first output holds scores of the classes that ``id2label`` names.
        otherwise: class that loads it for kinds of networks that ``auto`` does not have.
    """

    auto: str
    outputs: tuple[str, ...] = ("logits",)
    encoder: bool = False
    classes: bool = False
    otherwise: str | None = None


HEADS: dict[str, Head] = {
    "ForSequenceClassification": Head(
        "AutoModelForSequenceClassification", classes=True, otherwise="AutoModelForAudioClassification"
    ),
    "ForTokenClassification": Head("AutoModelForTokenClassification", classes=True),
    "ForMultipleChoice": Head("AutoModelForMultipleChoice"),
    "ForQuestionAnswering": Head("AutoModelForQuestionAnswering", ("start_logits", "end_logits")),
    "ForNextSentencePrediction": Head("AutoModelForNextSentencePrediction"),
    "ForMaskedLM": Head("AutoModelForMaskedLM"),
    "ForCausalLM": Head("AutoModelForCausalLM"),
    "LMHeadModel": Head("AutoModelForCausalLM"),
    "ElectraForPreTraining": Head("AutoModelForPreTraining"),
    "ForImageClassification": Head("AutoModelForImageClassification", classes=True),
    "ForImageClassificationWithTeacher": Head("AutoModelForImageClassification", classes=True),
    "ForSemanticSegmentation": Head("AutoModelForSemanticSegmentation", classes=True),
    "ForObjectDetection": Head("AutoModelForObjectDetection", ("logits", "pred_boxes"), classes=True),
    "ForDepthEstimation": Head("AutoModelForDepthEstimation", ("predicted_depth",)),
    "ForAudioClassification": Head("AutoModelForAudioClassification", classes=True),
    "ForAudioFrameClassification": Head("AutoModelForAudioFrameClassification"),
    "ForCTC": Head("AutoModelForCTC"),
    "ForConditionalGeneration": Head("AutoModel", ("last_hidden_state",), encoder=True),
    "MTModel": Head("AutoModelForSeq2SeqLM", ("last_hidden_state",), encoder=True),
    "EncoderModel": Head("AutoModelForTextEncoding", ("last_hidden_state",)),
    "Model": Head("AutoModel", ("last_hidden_state",)),
}
"""By the end of the architecture's name; the first that fits."""


def find_head(config: Mapping[str, Any]) -> Head:
    """The head that ``architectures`` of a ``config.json`` names; none named, the bare network.

    Raises:
        SourceError: ``architectures`` is malformed.
        UnsupportedError: a task that has no entry here.
    """
    named = config.get("architectures")
    if named is None or named == []:
        return HEADS["Model"]
    if not isinstance(named, list) or not isinstance(named[0], str):
        raise SourceError("architectures of config.json is malformed", got=named, allowed="a list of names")
    for ending, head in HEADS.items():
        if named[0].endswith(ending):
            if ending == "Model" and config.get("is_encoder_decoder") is True:
                return Head(head.auto, head.outputs, encoder=True)
            return head
    raise UnsupportedError(
        "a task that cannot be pressed", got=named[0], allowed=[f"…{ending}" for ending in HEADS]
    )
