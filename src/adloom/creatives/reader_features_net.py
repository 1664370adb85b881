"""The layers of the project's own reader for style transfer, with the weights of its ONNX file."""

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import nn

from adloom.creatives.cnn_net import Body, Residual
from adloom.creatives.style_losses_net import StyleFeatures
from adloom.errors import ArtifactError

GREY = (0.299, 0.587, 0.114)  # luma of ITU-R 601, as Pillow's
CONTENT = -3  # the first residual block


def load_reader_features(path: Path) -> StyleFeatures:
    """Return all layers of a reader that was trained from scratch. Raises ArtifactError for any other."""
    graph = onnx.load(str(path)).graph
    channels, size = (axis.dim_value for axis in graph.input[0].type.tensor_type.shape.dim[1:3])
    folded = _read_convolutions(graph)
    body = Body(channels, size, len(folded[0][1]) if folded else 1)
    convolutions = [layer for layer in body.modules() if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in body.modules() if isinstance(layer, nn.BatchNorm2d)]
    if [layer.weight.shape for layer in convolutions] != [weight.shape for weight, _ in folded]:
        raise ArtifactError(f"{path}: expected a reader with train_cnn.backbone: scratch; train one")
    for convolution, norm, (weight, bias) in zip(convolutions, norms, folded, strict=True):
        convolution.weight, norm.bias = nn.Parameter(weight), nn.Parameter(bias)
        norm.eps = 0.0  # mean 0 and variance 1, so that the layer only adds the bias
    body.eval().requires_grad_(False)
    return StyleFeatures(lambda picture: _list_layers(body, picture if channels == 3 else _to_grey(picture)), CONTENT)


def _read_convolutions(graph: onnx.GraphProto) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the weight and bias of each convolution, into which the export has folded its batch norm."""
    tensors = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "Conv" and len(node.input) == 3]
    return [(tensors[node.input[1]], tensors[node.input[2]]) for node in nodes]


def _list_layers(body: Body, picture: torch.Tensor) -> list[torch.Tensor]:
    outputs = []
    for layer in body:
        picture = layer(picture)
        if isinstance(layer, nn.ReLU | Residual):
            outputs.append(picture)
    return outputs


def _to_grey(picture: torch.Tensor) -> torch.Tensor:
    return (picture * torch.tensor(GREY)[:, None, None]).sum(1, keepdim=True)
