"""Writes a BERT checkpoint as ONNX, for transformers.js: export_onnx.py MODEL_FOLDER OUT_FOLDER. Needs numpy and onnx.

The graph is the one that exporters write for BertModel at opset 17 (LayerNormalization as one node, GELU by Erf); float32.
"""

import json
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def tensors(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        body = file.read()
    return {
        name: np.frombuffer(body[slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }


class Graph:
    def __init__(self, weights):
        self.weights, self.nodes, self.constants, self.count = weights, [], {}, 0

    def constant(self, name, value):
        self.constants.setdefault(name, numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def weight(self, name, transposed=False):
        value = self.weights[name]
        return self.constant(name + ".T" * transposed, value.T if transposed else value)

    def __call__(self, op, *inputs, out=None, **attributes):
        self.count += 1
        out = out or f"{op.lower()}_{self.count}"
        self.nodes.append(helper.make_node(op, list(inputs), [out], **attributes))
        return out

    def linear(self, x, name):
        return self("Add", self("MatMul", x, self.weight(f"{name}.weight", True)), self.weight(f"{name}.bias"))

    def norm(self, x, name, out=None):
        return self("LayerNormalization", x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), out=out, axis=-1, epsilon=1e-12)


def build(weights, config):
    g = Graph(weights)
    heads, hidden, layers = config["num_attention_heads"], config["hidden_size"], config["num_hidden_layers"]
    head_dim = hidden // heads
    length = g("Gather", g("Shape", "input_ids"), g.constant("one", np.array(1, np.int64)))
    positions = g("Range", g.constant("zero", np.array(0, np.int64)), length, g.constant("one", np.array(1, np.int64)))
    words = g("Gather", g.weight("embeddings.word_embeddings.weight"), "input_ids")
    types = g("Gather", g.weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
    places = g("Gather", g.weight("embeddings.position_embeddings.weight"), positions)
    x = g.norm(g("Add", g("Add", words, types), places), "embeddings.LayerNorm")

    mask = g("Cast", g("Unsqueeze", "attention_mask", g.constant("axes12", np.array([1, 2], np.int64))), to=TensorProto.FLOAT)
    bias = g("Mul", g("Sub", g.constant("one_f", np.float32(1)), mask), g.constant("lowest", np.finfo(np.float32).min))
    split = g.constant("split", np.array([0, 0, heads, head_dim], np.int64))
    joined = g.constant("joined", np.array([0, 0, hidden], np.int64))
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        q, k, v = (g("Reshape", g.linear(x, f"{at}.attention.self.{name}"), split) for name in ("query", "key", "value"))
        q, v = (g("Transpose", y, perm=[0, 2, 1, 3]) for y in (q, v))
        k = g("Transpose", k, perm=[0, 2, 3, 1])
        scores = g("Div", g("MatMul", q, k), g.constant("scale", np.float32(np.sqrt(head_dim))))
        context = g("MatMul", g("Softmax", g("Add", scores, bias), axis=-1), v)
        context = g("Reshape", g("Transpose", context, perm=[0, 2, 1, 3]), joined)
        x = g.norm(g("Add", g.linear(context, f"{at}.attention.output.dense"), x), f"{at}.attention.output.LayerNorm")
        y = g.linear(x, f"{at}.intermediate.dense")
        erf = g("Erf", g("Div", y, g.constant("sqrt2", np.float32(np.sqrt(2)))))
        y = g("Mul", g("Mul", y, g("Add", erf, g.constant("one_f", np.float32(1)))), g.constant("half", np.float32(0.5)))
        last = "last_hidden_state" if layer + 1 == layers else None
        x = g.norm(g("Add", g.linear(y, f"{at}.output.dense"), x), f"{at}.output.LayerNorm", last)
    shape = ["batch", "sequence"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask", "token_type_ids")]
    outputs = [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*shape, hidden])]
    graph = helper.make_graph(g.nodes, "bert", inputs, outputs, list(g.constants.values()))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main():
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    (out / "onnx").mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "tokenizer.json", "special_tokens_map.json"):
        shutil.copy(source / name, out / name)
    # transformers.js cuts where this file says, not where sentence_bert_config.json does.
    settings = json.loads((source / "tokenizer_config.json").read_text()) | {"model_max_length": 256}
    (out / "tokenizer_config.json").write_text(json.dumps(settings))
    model = build(tensors(source / "model.safetensors"), json.loads((source / "config.json").read_text()))
    onnx.checker.check_model(model)
    partial = out / "onnx/model.onnx.tmp"
    onnx.save(model, partial)
    partial.rename(out / "onnx/model.onnx")


main()
