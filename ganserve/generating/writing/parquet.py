"""Parquet in the layout of the Hugging Face Hub: the column `image` is a picture to `datasets`, `label` a class with its name."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganserve.generating.plan import Origin, Refused, Shard
from ganserve.generating.writing.formats import Drawn, HashedFile, decoded, shard_path

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    raise Refused("Parquet needs pyarrow: pip install 'ganserve[bulk]'") from None


class Parquet:
    name = "parquet"

    def __init__(self, out: Path, shards: int, origin: Origin, texts: bool) -> None:
        """texts: whether pictures have some."""
        self.root = out.parent
        self._out, self._count = out, shards
        fields = [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
        features: dict[str, Any] = {"image": {"_type": "Image"}}
        if origin.classes:
            fields.append(("label", pa.int64()))
            features["label"] = {"names": list(origin.classes), "_type": "ClassLabel"}
        if texts:
            fields.append(("text", pa.string()))
            features["text"] = {"dtype": "string", "_type": "Value"}
        fields.append(("seed", pa.int64()))
        features["seed"] = {"dtype": "int64", "_type": "Value"}
        about = json.dumps({"info": {"features": features}})
        self._schema = pa.schema(fields, {"huggingface": about})

    def encode(self, drawn: Drawn) -> Any:
        """A table of the block."""
        block = drawn.block
        rows = [{"bytes": png, "path": None} for png in drawn.pngs()]
        told = (one for one in (block.labels, block.texts) if one is not None)
        columns: list[Any] = [rows, *told, list(block.seeds)]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        return pa.Table.from_arrays(arrays, schema=self._schema)

    def begin(self, shard: Shard) -> "_ParquetWriter":
        return _ParquetWriter(
            self.root, shard, shard_path(self._out, shard.number, self._count), self._schema
        )

    def pictures(self, entry: dict[str, Any], seeds: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
        wanted, found = set(seeds), {}
        for batch in pq.ParquetFile(self.root / entry["file"]).iter_batches(256, columns=["image", "seed"]):
            for i, seed in enumerate(batch.column("seed").to_pylist()):
                if seed in wanted:
                    found[seed] = decoded(batch.column("image")[i].as_py()["bytes"])
        return found


class _ParquetWriter:
    def __init__(self, root: Path, shard: Shard, path: Path, schema: Any) -> None:
        self._root, self._shard, self._file = root, shard, HashedFile(path)
        # Pictures are compressed already.
        self._table = pq.ParquetWriter(self._file, schema, compression="none")

    def add(self, encoded: Any) -> None:
        self._table.write_table(encoded)

    def close(self) -> dict[str, Any]:
        self._table.close()
        return self._file.keep(self._root, self._shard)

    def abandon(self) -> None:
        self._table.close()
        self._file.abandon()
