from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from store_kit import PHASE, advance, create, fine

from hpcms.errors import STORAGE, StorageFailure
from hpcms.store import files
from hpcms.store.chunks import check_frames, decode, encode, frame_size
from hpcms.store.commit import RunStore, read_fine
from hpcms.store.layout import LEVEL, Spec
from hpcms.store.run import open_run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A committed run of three steps; tests damage copies of it."""
    root = tmp_path_factory.mktemp("whole") / "run"
    with create(root) as store:
        for step in range(3):
            advance(store, step)
    return root


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def chunk_files(root: Path) -> list[Path]:
    return sorted(path for path in (root / "state.zarr").rglob("c.*") if path.is_file())


def array_of(root: Path, file: Path) -> str:
    return file.parent.relative_to(root / "state.zarr").as_posix()


def test_one_flipped_bit_in_any_chunk_is_always_found_and_named(run: Path) -> None:
    rng = np.random.default_rng(5)
    opened = open_run(run)
    assert opened.verify() == []
    for file in chunk_files(run):
        data = file.read_bytes()
        for _ in range(2):
            flipped = bytearray(data)
            flipped[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
            file.write_bytes(flipped)
            path, step = array_of(run, file), int(file.name.split(".")[1])
            with pytest.raises(StorageFailure, match="damaged") as caught:
                opened.read(path, step if opened.specs[path].stepped else 2)
            assert f"array {path}, chunk {file.name}:" in str(caught.value)
        file.write_bytes(data)
    assert opened.verify() == []


def test_the_codec_alone_finds_flipped_bits_too(run: Path) -> None:
    """Readers without the manifest are protected by the checksum in the file."""
    rng = np.random.default_rng(6)
    file = run / "state.zarr/coarse/temperature/c.1.0"
    data = file.read_bytes()
    body = len(data) - 60  # the values; a flip in the frame header may change nothing
    for _ in range(50):
        flipped = bytearray(data)
        flipped[60 - 1 + rng.integers(body)] ^= 1 << int(rng.integers(8))
        file.write_bytes(flipped)
        with pytest.raises(RuntimeError, match="decompression error"):
            zarr.open_array(run / "state.zarr/coarse/temperature", mode="r")[1]


def test_damage_reaches_every_way_of_reading(run: Path) -> None:
    file = run / "state.zarr/fine_creep/creep_strain/c.2.1.0.0.0.0"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)
    opened = open_run(run)
    with RunStore.open(run) as store:
        sink = store.sink(2)
    for read in (
        lambda: read_fine(sink, "creep", 1),
        lambda: opened.history("creep", 2, 4),
        lambda: opened.tree["fine_creep/creep_strain"][2, 4].values,
        lambda: opened.read_region("fine_creep/creep_strain", 3, 2),
    ):
        with pytest.raises(StorageFailure, match=r"array fine_creep/creep_strain, chunk c\.2\.1\.0\.0\.0\.0: damaged"):
            read()
    assert np.array_equal(read_fine(sink, "creep", 0)["creep_strain"], fine(2, 0)["creep_strain"])
    assert len(opened.verify()) == 1


def test_a_deleted_chunk_is_an_error_never_the_fill_value(run: Path) -> None:
    for file in chunk_files(run):
        data = file.read_bytes()
        file.unlink()
        path, step = array_of(run, file), int(file.name.split(".")[1])
        opened = open_run(run)
        with pytest.raises(StorageFailure, match="missing"):
            opened.read(path, step if opened.specs[path].stepped else 2)
        assert len(opened.verify()) == 1
        if path != "time":  # the tree takes the times from the manifests
            with pytest.raises(StorageFailure, match="missing"):
                opened.tree[path].load()
        file.write_bytes(data)


def test_a_run_whose_last_step_lacks_a_chunk_offers_the_step_before(run: Path) -> None:
    (run / "state.zarr/coarse/temperature/c.2.0").unlink()
    with pytest.raises(StorageFailure, match=r"coarse/temperature, chunk c\.2\.0: missing") as caught:
        RunStore.open(run)
    assert caught.value.exit_code == STORAGE
    assert "--generation 1" in caught.value.hint
    with RunStore.open(run, generation=1) as store:
        assert advance(store, 2).step == 2
    assert open_run(run).verify() == []


CUT = ["head.json", "manifests/00000002.json", "manifests/00000002.chunks.json", "manifests/00000001.json"]


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.98])
@pytest.mark.parametrize("file", CUT)
def test_a_cut_manifest_or_head_offers_a_whole_generation(whole: Path, run: Path, file: str, keep: float) -> None:
    size = (run / file).stat().st_size
    os.truncate(run / file, int(size * keep))
    for use in (RunStore.open, open_run):
        with pytest.raises(StorageFailure) as caught:
            use(run)
        assert caught.value.exit_code == STORAGE
        assert file.removesuffix(".json") in str(caught.value)
    last = {"head.json": 2, "manifests/00000001.json": 0}.get(file, 1)
    assert f"--generation {last}" in caught.value.hint
    assert open_run(run, generation=last).head == _head(whole, last)
    with RunStore.open(run, generation=last) as store:
        for step in range(last + 1, 3):
            advance(store, step)
        assert store.head == _head(whole, 2)
    assert open_run(run).verify() == []


def _head(root: Path, step: int) -> object:
    return open_run(root, generation=step).head


@pytest.mark.parametrize(
    "file",
    ["zarr.json", "coarse/zarr.json", "coarse/temperature/zarr.json", "fine_creep/phase/zarr.json", "time/zarr.json"],
)
def test_cut_metadata_is_found_and_written_anew_on_request(run: Path, file: str) -> None:
    text = (run / "state.zarr" / file).read_bytes()
    (run / "state.zarr" / file).write_bytes(text[: len(text) // 2])
    with pytest.raises(StorageFailure, match="damaged metadata") as caught:
        RunStore.open(run)
    assert "--generation 2" in caught.value.hint
    assert len(open_run(run).verify()) == 1  # reading does not need it: the manifests have it too
    RunStore.open(run, generation=2).close()
    assert (run / "state.zarr" / file).read_bytes() == text
    assert open_run(run).verify() == []


def test_a_store_of_another_zstd_level_goes_on(whole: Path, run: Path) -> None:
    """The level is the writer's own affair: stores of older versions had 1."""
    for file in (run / "state.zarr").rglob("zarr.json"):
        file.write_text(file.read_text().replace(f'"level": {LEVEL}', '"level": 1'))
    assert '"level": 1,' in (run / "state.zarr/time/zarr.json").read_text()
    assert open_run(run).verify() == []
    with RunStore.open(run) as store:
        assert store.head == _head(whole, 2)
        advance(store, 3)
    assert open_run(run).verify() == []
    assert zarr.open_array(run / "state.zarr/time", mode="r")[3] == 30.0


def test_no_whole_generation_is_said(run: Path) -> None:
    (run / "manifests/00000000.json").write_text("{")
    with pytest.raises(StorageFailure) as caught:
        RunStore.open(run)
    assert "no whole generation is left" in caught.value.hint


# ---------------------------------------------------------------------------------------------------- hostile stores


def reseal(root: Path, relative: str, change: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
    """What an attacker can do: change a manifest and make all hashes above it fit."""
    body = json.loads((root / relative).read_text())["body"]
    change(body)
    (root / relative).write_bytes(files.seal(body)[0])


def forge(root: Path, change: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
    """Change the file list of the last step."""
    reseal(root, "manifests/00000002.chunks.json", change)
    listed = json.loads((root / "manifests/00000002.chunks.json").read_text())["sha256"]
    reseal(root, "manifests/00000002.json", lambda body: body.update(chunks=listed))
    seal = json.loads((root / "manifests/00000002.json").read_text())["sha256"]
    reseal(root, "head.json", lambda body: body.update(manifest=seal))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("path", "../../secret"),
        ("dtype", "object"),
        ("dtype", "V8"),
        ("shape", [2**41]),
        ("shape", [2**40]),
        ("shape", [-1]),
        ("shape", "many"),
        ("rows", 0),
        ("dims", ["node", "node"]),
    ],
)
def test_forged_array_declarations_are_refused(run: Path, key: str, value: object) -> None:
    forge(run, lambda body: body["coarse/temperature"]["spec"].update({key: value}))
    with pytest.raises(StorageFailure, match=r"not valid|not a valid array"):
        open_run(run)


def test_forged_sizes_do_not_take_memory(run: Path) -> None:
    """2^33 doubles declared, all hashes fit: refused before 64 GiB are allocated."""
    forge(run, lambda body: body["coarse/temperature"]["spec"].update(shape=[2**33], rows=2**33))
    opened = open_run(run)
    with pytest.raises(StorageFailure, match="do not fit into memory"):
        opened.read("coarse/temperature")
    with pytest.raises(StorageFailure, match="damaged"):
        opened.read_region("coarse/temperature", 0)


def test_a_compressed_bomb_is_refused_by_its_header() -> None:
    small = Spec("coarse/a", (8,), "float64", 8, ("node",), "", True)
    big = Spec("coarse/a", (100_000,), "float64", 100_000, ("node",), "", True)
    bomb = encode(big, np.zeros(100_000))
    assert len(bomb) < 1000
    assert frame_size(bomb[:18]) == 800_000
    with pytest.raises(ValueError, match="does not hold 64 bytes"):
        check_frames(small, bomb)
    check_frames(big, bomb)
    shard = Spec("fine_m/a", (4, 100_000), "float64", 4, ("region", "n"), "", True)
    data = bytearray(encode(shard, np.zeros((4, 100_000))))
    check_frames(shard, bytes(data))
    data[-4 - 16 : -4 - 8] = (2**40).to_bytes(8, "little")  # the offset of the last chunk points far outside
    with pytest.raises(ValueError, match="does not hold"):
        check_frames(shard, bytes(data))


def test_a_damaged_shard_never_decodes() -> None:
    """Without a manifest, as in pyramids: its index has a checksum, and a chunk that it calls missing is no fill value."""
    shard = Spec("fine_m/a", (4, 100_000), "float64", 4, ("region", "n"), "", True)
    data = encode(shard, np.ones((4, 100_000)))
    assert decode(shard, data, 4)[3, 7] == 1.0
    flipped = bytearray(data)
    flipped[-4 - 16] ^= 1
    with pytest.raises(ValueError, match="does not match its checksum"):
        decode(shard, bytes(flipped), 4)
    three = encode(shard, np.ones((3, 100_000)))
    assert decode(shard, three, 3).all()
    with pytest.raises(RuntimeError):
        decode(shard, three, 4)


@pytest.mark.parametrize("target", ["file", "folder", "manifest"])
def test_links_out_of_the_run_are_refused(run: Path, tmp_path: Path, target: str) -> None:
    victim = {"file": "state.zarr/coarse/temperature/c.2.0", "folder": "state.zarr/coarse", "manifest": "head.json"}
    outside = tmp_path / "outside"
    (run / victim[target]).rename(outside)
    (run / victim[target]).symlink_to(outside)
    with pytest.raises(StorageFailure, match="is a link"):
        open_run(run).read("coarse/temperature", 2)


def test_a_pipe_in_place_of_a_chunk_does_not_hang(run: Path) -> None:
    file = run / "state.zarr/coarse/temperature/c.2.0"
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(StorageFailure, match="not a regular file"):
        open_run(run).read("coarse/temperature", 2)


def test_a_chunk_in_the_place_of_another_is_found(run: Path) -> None:
    """Both are whole files of this run, so only the manifest can tell."""
    folder = run / "state.zarr/coarse/temperature"
    shutil.copy(folder / "c.0.0", folder / "c.2.0")
    with pytest.raises(StorageFailure, match="damaged"):
        open_run(run).read("coarse/temperature", 2)


@pytest.mark.parametrize("text", [b"[]", b"null", b"{}", b'{"body":1,"sha256":2}', b"[" * 50_000, b"\xff\xfe", b""])
def test_any_rubbish_as_head_is_a_storage_failure(run: Path, text: bytes) -> None:
    (run / "head.json").write_bytes(text)
    with pytest.raises(StorageFailure, match=r"head\.json"):
        open_run(run)


def test_static_arrays_are_stored_once(run: Path) -> None:
    names = {path.name for path in (run / "state.zarr/fine_creep/phase").glob("c.*")}
    assert names == {"c.0.0.0.0", "c.1.0.0.0", "c.2.0.0.0"}
    assert np.array_equal(open_run(run).read("fine_creep/phase", 2), PHASE)


# --------------------------------------------------------------------------------------------------------- disk full

SCRIPT = """
import os, resource, sys
from pathlib import Path
sys.path.insert(0, {kit!r})
import numpy as np
from store_kit import advance, create
from hpcms.errors import StorageFailure
from hpcms.store.commit import RunStore
root = Path({root!r})
with create(root) as store:
    first = advance(store, 0)
    {full}
    try:
        advance(store, 1)
    except StorageFailure as error:
        assert store.head == first
        print(error)
        print(error.hint)
        sys.exit(error.exit_code)
"""
LIMIT = "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))"
FILL = "(root / 'ballast').write_bytes(b'x' * (os.statvfs(root).f_bavail * os.statvfs(root).f_frsize - 4096))"


def full_disks(tmp: Path) -> list[str]:
    """The ways to a full disk that this machine allows; a limit on file sizes always works."""
    (tmp / "probe").mkdir()
    mounted = os.geteuid() == 0 and _mount(tmp / "probe")
    if mounted:
        subprocess.run(["umount", tmp / "probe"], check=True)
    return ["limit", "tmpfs"] if mounted else ["limit"]


def _mount(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_full_disk_stops_cleanly_and_the_head_is_intact(tmp_path: Path, whole: Path) -> None:
    for way in full_disks(tmp_path):
        disk = tmp_path / way
        disk.mkdir()
        assert way == "limit" or _mount(disk)
        try:
            script = SCRIPT.format(
                kit=str(Path(__file__).parent), root=str(disk / "run"), full=LIMIT if way == "limit" else FILL
            )
            done = subprocess.run(
                [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == STORAGE, done.stdout + done.stderr
            assert str(disk / "run/state.zarr") in done.stdout
            assert "bytes needed" in done.stdout
            assert "the last committed step is intact" in done.stdout
            (disk / "run/ballast").unlink(missing_ok=True)
            assert open_run(disk / "run").head == _head(whole, 0)
            assert open_run(disk / "run").verify() == []
            with RunStore.open(disk / "run") as store:
                assert [advance(store, step) for step in (1, 2)][-1] == _head(whole, 2)
        finally:
            if way == "tmpfs":
                subprocess.run(["umount", disk], check=True)
