"""Rewrite a float program into an integer one, as the plan says.  Small and dumb: it decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pocketpress.compress.quantize.head import fits_exactly
from pocketpress.compress.quantize.place import PRODUCTS
from pocketpress.compress.quantize.plan import QuantizationPlan
from pocketpress.compress.quantize.weights import LIMITS, quantize_bias, quantize_weight
from pocketpress.core.errors import InternalError
from pocketpress.core.program import Node, Program, ProgramBuilder, Quantization, TensorType


class _Apply:
    def __init__(self, program: Program, plan: QuantizationPlan, raw: Mapping[str, Quantization]) -> None:
        self.program, self.plan, self.raw = program, plan, raw
        self.builder = ProgramBuilder()
        self.dtype = f"int{plan.activation_bits}"
        self.real: dict[str, str] = {}
        self.grid: dict[str, str] = {}

    def run(self) -> Program:
        for name in self.program.inputs:
            self._input(name)
        for node in self.program.nodes:
            if node.name in self.plan.heads:
                self._head(node)
            elif node.name in self.plan.integer_nodes:
                self._integer(node)
            else:
                self._float(node)
        outputs = [self._output(name) for name in self.program.outputs]
        return replace(self.builder.build(outputs), states=self.program.states)

    def _input(self, name: str) -> None:
        type_ = self.program.type(name)
        if name not in self.raw:
            self.real[name] = self.builder.input(name, type_)
            return
        pixels = self.builder.input(name, TensorType(type_.shape, "uint8", self.raw[name]))
        if name in self.plan.activations:
            shifted = TensorType(type_.shape, self.dtype, self.plan.activations[name])
            self.grid[name] = self.builder.node("requantize", [pixels], shifted, name=f"{name}_int8")
        self.real[name] = self.builder.node("dequantize", [pixels], type_, name=f"{name}_real")

    def real_of(self, name: str) -> str:
        """The float version of a tensor, dequantised on first use."""
        if name in self.program.constants:
            return self._constant(name)
        if name not in self.real:
            type_ = self.program.type(name)
            public = name if name in self.program.outputs else f"{name}_real"
            self.real[name] = self.builder.node("dequantize", [self.grid[name]], type_, name=public)
        return self.real[name]

    def grid_of(self, name: str) -> str:
        """The int8 version of a tensor, quantised on first use."""
        if name not in self.grid:
            quant = self.plan.activations[name]
            type_ = TensorType(self.program.type(name).shape, self.dtype, quant)
            if name in self.program.constants:
                grid = (
                    np.rint(self.program.constants[name].astype(np.float64) / float(quant.step))
                    + quant.zero_point
                )
                info = np.iinfo(self.dtype)
                value = np.clip(grid, info.min, info.max).astype(self.dtype)
                self.grid[name] = self.builder.constant(f"{name}_int8", value, quant)
            else:
                self.grid[name] = self.builder.node("quantize", [self.real[name]], type_, name=f"{name}_int8")
        return self.grid[name]

    def _constant(self, name: str) -> str:
        if name not in self.real:
            type_ = self.program.type(name)
            self.real[name] = self.builder.constant(name, self.program.constants[name], type_=type_)
        return self.real[name]

    def _float(self, node: Node) -> None:
        out = node.outputs[0]
        inputs = [self.real_of(name) for name in node.inputs]
        held = out in self.plan.activations and out in self.program.outputs
        name = f"{out}_real" if held else out
        self.real[out] = self.builder.node(
            node.op, inputs, self.program.type(out), name=name, source=node.source, **node.attrs
        )
        if held:
            self.grid_of(out)
            del self.real[out]

    def _integer(self, node: Node) -> None:
        out = node.outputs[0]
        type_ = TensorType(self.program.type(out).shape, self.dtype, self.plan.activations[out])
        inputs = [self._edge(node, index) for index in range(1 if node.op in PRODUCTS else len(node.inputs))]
        if node.op in PRODUCTS:
            inputs += self._weights(node)
        name = f"{out}_int8" if out in self.program.outputs else out
        self.grid[out] = self.builder.node(
            node.op, inputs, type_, name=name, source=node.source, **node.attrs
        )

    def _head(self, node: Node) -> None:
        """Exact integer sums by float kernels, then the weight scales: see `head`."""
        quant, out = self.plan.weights[node.name], self.program.type(node.outputs[0])
        step = self.plan.activations[node.inputs[0]].step
        weight, bits = self._rounded(node, quant)
        bias = self._bias(node, weight.shape[0])
        integers = None if bias is None else quantize_bias(bias, step, quant.scales())
        if not fits_exactly(weight, integers):
            raise InternalError(f"head {node.name}: sums leave the exact range of float32")
        ones = Quantization.per_channel(np.ones(len(weight)), 0)
        stored = TensorType(tuple(weight.shape), f"int{bits}", ones)
        inputs = [
            self.real_of(node.inputs[0]),
            self.builder.constant(f"{node.name}_weight", weight, type_=stored),
        ]
        if integers is not None:
            real = (integers.astype(np.float64) * float(step)).astype(np.float32)
            inputs.append(self.builder.constant(f"{node.name}_bias", real))
        sums = self.builder.node(
            "linear", inputs, out, name=f"{node.outputs[0]}_sums", source=node.source, clamp=None
        )
        scales = self.builder.constant(f"{node.name}_scales", quant.scales())
        self.real[node.outputs[0]] = self.builder.node(
            "mul", [sums, scales], out, name=node.outputs[0], source=node.source, clamp=None
        )

    def _edge(self, node: Node, index: int) -> str:
        name = self.grid_of(node.inputs[index])
        target = self.plan.requantized_edges.get((node.name, index))
        if target is None:
            return name
        type_ = TensorType(self.builder.type(name).shape, self.dtype, self.plan.activations[target])
        return self.builder.node("requantize", [name], type_, name=f"{name}_requantized")

    def _weights(self, node: Node) -> list[str]:
        quant = self.plan.weights[node.name]
        axis = quant.axis or 0
        weight, bits = self._rounded(node, quant)
        type_ = TensorType(tuple(weight.shape), f"int{bits}", quant)
        names = [self.builder.constant(f"{node.name}_weight", weight, type_=type_)]
        bias = self._bias(node, weight.shape[axis])
        if bias is not None:
            step = self.plan.activations[node.inputs[0]].step
            value = quantize_bias(bias, step, quant.scales())
            bias_quant = Quantization.per_channel(np.maximum(step * quant.scales(), np.float32(1e-37)), 0)
            names.append(self.builder.constant(f"{node.name}_bias", value, bias_quant))
        return names

    def _rounded(self, node: Node, quant: Quantization) -> tuple[npt.NDArray[np.int8], int]:
        """The weight's integers, learned or rounded to nearest, and their bits."""
        bits = self.plan.weight_bits.get(node.name, 8)
        learned = self.plan.rounded.get(node.name)
        if learned is not None:
            return learned, bits
        real = self.program.constants[node.inputs[1]]
        return quantize_weight(real, quant.scales(), quant.axis or 0, LIMITS[bits]), bits

    def _bias(self, node: Node, channels: int) -> npt.NDArray[np.float32] | None:
        if node.name in self.plan.biases:
            return self.plan.biases[node.name]
        shift = self.plan.bias_shifts.get(node.name)
        if len(node.inputs) < 3 and shift is None:
            return None
        bias = self.program.constants[node.inputs[2]] if len(node.inputs) > 2 else np.zeros(channels)
        return np.asarray(bias + (0 if shift is None else shift), dtype=np.float32)

    def _output(self, name: str) -> str:
        return self.real_of(name)


def apply_plan(
    program: Program, plan: QuantizationPlan, raw: Mapping[str, Quantization] | None = None
) -> Program:
    """Build the int8 program.

    Args:
        program: the float program the plan was made for.
        plan: all decisions.
        raw: inputs that the artifact takes as raw uint8, with their quantisation.
    """
    return _Apply(program, plan, raw or {}).run()
