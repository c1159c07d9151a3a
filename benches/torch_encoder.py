"""Tokens per second of a BERT in PyTorch, for `cargo xtask test-device` to show beside ours.

    python3 benches/torch_encoder.py minilm-l6 bert-base
    python3 benches/torch_encoder.py --sentence-transformers FOLDER

The first form is PyTorch alone: random weights, ids on the device, texts of one length, no tokenizer. The second is
sentence-transformers end to end on made-up texts, the best of three batch sizes.
"""

import sys
import time

import torch

SIZES = {"minilm-l6": (384, 6, 12), "bert-base": (768, 12, 12)}
MIXES = {"short": 27, "mixed": 111, "long": 512}
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = (torch.float16, torch.float32) if DEVICE == "cuda" else (torch.float32,)
SECONDS = 2.0


def wait():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def fastest(run):
    """Seconds of the fastest run within a time, after one to warm up."""
    run()
    wait()
    best, begin = float("inf"), time.perf_counter()
    while time.perf_counter() - begin < SECONDS:
        start = time.perf_counter()
        run()
        wait()
        best = min(best, time.perf_counter() - start)
    return best


def alone(name):
    from transformers import BertConfig, BertModel

    hidden, layers, heads = SIZES[name]
    config = BertConfig(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
    )
    for dtype in DTYPES:
        model = BertModel(config, add_pooling_layer=False).to(DEVICE, dtype).eval()
        for mix, length in MIXES.items():
            ids = torch.randint(0, config.vocab_size, (max(1, 16384 // length), length), device=DEVICE)
            with torch.inference_mode():
                seconds = fastest(lambda: model(input_ids=ids).last_hidden_state)
            print(f"PyTorch {torch.__version__} alone  {name}  {dtype}  {mix:<5}  {ids.numel() / seconds:>12.0f} tokens/s")


def sentence_transformers(folder):
    from sentence_transformers import SentenceTransformer

    words = "the film is a slow and honest look at people who never say what they want from each other".split()
    for dtype in DTYPES:
        model = SentenceTransformer(folder, device=DEVICE, model_kwargs={"torch_dtype": dtype})
        longest = model.max_seq_length
        for mix, length in MIXES.items():
            length = min(length, longest) - 2
            texts = [" ".join(words[(i + j) % len(words)] for j in range(length)) for i in range(32768 // length)]
            tokens = sum(min(len(ids), longest) for ids in model.tokenizer(texts)["input_ids"])
            seconds = min(
                fastest(lambda: model.encode(texts, batch_size=batch, show_progress_bar=False)) for batch in (32, 128, 512)
            )
            print(f"sentence-transformers  {dtype}  {mix:<5}  {tokens / seconds:>12.0f} tokens/s")


if len(sys.argv) == 3 and sys.argv[1] == "--sentence-transformers":
    sentence_transformers(sys.argv[2])
elif len(sys.argv) > 1 and all(name in SIZES for name in sys.argv[1:]):
    for size in sys.argv[1:]:
        alone(size)
else:
    sys.exit(__doc__)
