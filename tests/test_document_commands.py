"""The commands of the documents run, page by page and one after the other, as a reader would give them, at toy size."""

import csv
import pickle
import re
import shlex
import shutil
from pathlib import Path

import pytest

from msa_jax import data
from msa_jax.cli import main
from msa_jax.data import make_synthetic, write_native
from msa_jax.data.tokenize import build_tokenizer
from tests.cmu_writer import cmu_content
from tests.mmsa_writer import mmsa_content, write_mmsa
from tests.small_bert import write_small_bert
from tests.test_documents import DOCS, README, block_lines, name

# The README first: other pages use what its commands make.
PAGES = ("data", "quickstart", "experiments", "methods", "missing_modalities", "sweeps_and_studies", "sharing")
READ = (README, *(DOCS / f"{page}.md" for page in PAGES))
# What no toy stands for: clips (tests/extract has some), another page's data, 243 points; studies have tests of their own.
NOT_HERE = ("--clip", "runs/mine", "--grid mmcl_weights", "msa-jax reproduce", "msa-jax leaderboard")
REFUSED = {"msa-jax resume runs/mosi": "finished after at most 1 epochs; to train further"}


def lines(page: Path) -> list[str]:
    """The commands in the blocks of a page, without those that do not run here."""
    given = [line for line in block_lines(page, "bash") if line.startswith("msa-jax ")]
    commands = [shlex.join(shlex.split(line, comments=True)) for line in given]
    return [line for line in commands if not any(word in line for word in NOT_HERE)]


def at_toy_size(line: str) -> list[str]:
    """The same command for one epoch, one seed unless it names some, and two points."""
    words = shlex.split(re.sub(r"--points \d+", "--points 2", line).replace("1111 1112 1113", "1111 1112"))[1:]
    if "--max-epochs" in words:
        words[words.index("--max-epochs") + 1] = "2" if words[0] == "resume" else "1"
    elif words[0] in ("train", "sweep"):
        words += ["--max-epochs", "1"]
    return words if "--seeds" in words or words[0] not in ("train", "sweep") else [*words, "--seeds", "1111"]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the files lie that the documents take for granted, and in which commands run."""
    small = make_synthetic(train=48, valid=16, test=16)
    monkeypatch.setattr(data, "make_synthetic", lambda **given: small)
    monkeypatch.chdir(tmp_path)
    write_small_bert(Path("bert-base-uncased"), build_tokenizer(list(small.train.raw_text)), max_positions=64)
    Path("MOSI/Processed").mkdir(parents=True)
    write_mmsa("MOSI/Processed/unaligned_50.pkl", sizes=(72, 8, 12))
    write_mmsa("SIMSv2/Processed/sims_unaligned.pkl", kind="sims")
    Path("mosi_data.pkl").write_bytes(pickle.dumps(cmu_content()[0]))
    mine = mmsa_content(seed=1)
    card = {"name": "other", "language": "en", "label_range": (-3.0, 3.0), "metrics": "mosi"}
    Path("other.pkl").write_bytes(pickle.dumps(mine))
    write_native(data.load_dataset("other.pkl", **card), Path("data/other"))
    for split in mine.values():
        split["regression_labels"] = split["regression_labels"] * 2 / 3
    Path("mine.pkl").write_bytes(pickle.dumps(mine))
    for table in ("texts.csv", "new.csv"):
        with open(table, "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["text", "label"])
            rows.writerows(zip(small.train.raw_text, small.train.label, strict=True))
    Path("lines.txt").write_text("a fine film\ndull\n", encoding="utf-8")
    return tmp_path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::msa_jax.errors.DataWarning")  # what tables and feature files do not say is guessed
def test_the_commands_of_the_documents_run(desk: Path, capsys: pytest.CaptureFixture[str]):
    wrong, count = [], 0
    for page in READ:
        for made in re.findall(r"--out (\S+)", " ".join(lines(page))):  # a page may make again what the README made
            shutil.rmtree(made, ignore_errors=True)
        for line in lines(page):
            count += 1
            status, said = main(at_toy_size(line)), capsys.readouterr()
            expected = REFUSED.get(line)
            if status != (2 if expected else 0) or (expected and expected not in said.err):
                wrong.append(f"{name(page)}: {line}\n    {said.err.strip().splitlines()[-1]}")
    assert not wrong, "\n".join(wrong)
    assert count > 50
