"""What `cargo xtask bench-serve --peer PYTHON` measures beside `frostbert serve`: FastAPI with sentence-transformers.

Needs fastapi, uvicorn, sentence-transformers, torch. Usage: serve_peer.py MODEL
"""

import socket
import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(sys.argv[1], device="cpu")
model.encode(["warm up"] * 8)
app = FastAPI()


class Request(BaseModel):
    inputs: list[str]


# A plain function: FastAPI runs it in a thread, so that one request does not keep others from being read.
@app.post("/embed")
def embed(request: Request) -> list[list[float]]:
    return model.encode(
        request.inputs, batch_size=32, normalize_embeddings=True, show_progress_bar=False
    ).tolist()


listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", 0))
listener.listen(1024)
print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])
