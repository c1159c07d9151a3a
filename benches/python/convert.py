"""The checkpoint in the forms that others need: `convert.py onnx|static MODEL FOLDER`, with torch (and onnx, or model2vec[distill])."""

from __future__ import annotations

import json
import pathlib
import shutil
import sys


def onnx(model: pathlib.Path, folder: pathlib.Path) -> None:
    """For fastembed: hidden states as an ONNX graph, and a tokenizer that cuts at the checkpoint's 256 tokens."""
    import torch
    from transformers import AutoModel

    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(model / name, folder / name)
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    longest = json.loads((model / "sentence_bert_config.json").read_text())["max_seq_length"]
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer | {"model_max_length": longest, "max_length": longest}))
    bert = AutoModel.from_pretrained(model, attn_implementation="eager").eval()

    class Hidden(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, input_ids, attention_mask, token_type_ids):  # noqa: ANN001, ANN202
            return self.bert(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state

    ids = torch.ones(2, 9, dtype=torch.int64)
    axes = {0: "batch", 1: "tokens"}
    names = ["input_ids", "attention_mask", "token_type_ids"]
    torch.onnx.export(
        Hidden(), (ids, ids, torch.zeros_like(ids)), folder / "model.onnx", input_names=names, output_names=["last_hidden_state"],
        dynamic_axes={name: axes for name in [*names, "last_hidden_state"]}, opset_version=17, dynamo=False,
    )


def static(model: pathlib.Path, folder: pathlib.Path) -> None:
    """For model2vec."""
    from model2vec.distill import distill

    distill(model_name=str(model)).save_pretrained(str(folder))


if __name__ == "__main__":
    what, model, folder = sys.argv[1:]
    {"onnx": onnx, "static": static}[what](pathlib.Path(model), pathlib.Path(folder))
