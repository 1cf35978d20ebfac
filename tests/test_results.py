"""Result files and the pages made from them: every number is that of a run, and a page that differs is named."""

import json

import numpy as np
import pytest

from msa_jax import config
from msa_jax.errors import InputError
from msa_jax.metrics import METRIC_KEYS
from msa_jax.report.leaderboard import leaderboard as run_leaderboard
from msa_jax.train.settings import resolve
from scripts import result_files, result_pages, results
from tests.paths import REPOSITORY
from tests.tiny import TOY_QUICK, tiny_dataset, toy  # noqa: F401 - toy is a fixture

SEEDS = (1, 2, 3)
MAE = {"text_only": (0.80, 0.82, 0.87), "tfn": (0.75, 0.74, 0.82), "lmf": (0.9, 0.95, 0.94)}
PICTURE = b"\x89PNG\r\n\x1a\n of a table"


def experiment(folder, method, *, label_hash="ab", maes=None, **options):
    """A finished experiment of known scores, as `train` leaves it."""
    settings = resolve(method, preset="none", options=options)
    folder.mkdir(parents=True)
    content = {"method": method, "dataset": "tiny", "metrics": "mosi", "protocol": "paper", "preset": None}
    content["options"] = config.to_json(settings.options)
    (folder / "config.json").write_text(json.dumps(content))
    environment = {
        "versions": {"python": "3.11.7", "msa-jax": "0.1.0", "jax": "0.10.2"},
        "devices": ["cpu: cpu"] * 2,
        "processors": 2,
        "system": "Linux-of-one-host",
        "commit": "0123456789abcdef+changes",
        "command": ["__main__.py", "leaderboard", "--data", "/some/where/tiny", "--out=/else/where/my out"],
        "dataset_sha256": {"train/label": label_hash},
    }
    (folder / "environment.json").write_text(json.dumps(environment))
    scores = dict.fromkeys(METRIC_KEYS["mosi"], 0.5)
    runs = [
        {"seed": seed, "best_epoch": 4, "valid": {**scores, "MAE": mae - 0.1}, "test": {**scores, "MAE": mae}}
        for seed, mae in zip(SEEDS, maes or MAE[method], strict=True)
    ]
    result = {"method": method, "dataset": "tiny", "runs": runs, "mean": {}, "std": {}, "seconds": 90.0}
    (folder / "result.json").write_text(json.dumps({**result, "parameters": 1234}))
    return folder


def leaderboard(folder):
    for method in MAE:
        experiment(folder / method, method, batch_size=7)
    ranks = {"mean": {"lmf": 2.5, "tfn": 1.5}, "samples": 40, "friedman_p": 0.2, "critical_difference": 0.7}
    content = {"rows": [{"method": method} for method in MAE], "ranks": {**ranks, "groups": [["tfn", "lmf"]]}}
    content["not_possible"] = {"mctn": "needs text, which /some/where/tiny does not have"}
    (folder / "leaderboard.json").write_text(json.dumps(content))
    (folder / "leaderboard.png").write_bytes(PICTURE)
    return folder


@pytest.fixture
def root(tmp_path):
    """A repository with a README that quotes numbers, and one leaderboard that is kept."""
    (tmp_path / "docs").mkdir()
    marks = "<!-- results: tiny; tfn text_only; MAE --><!-- end -->\n\nTFN: <!-- number: tiny tfn MAE --><!-- end -->\n"
    code = "```text\n<!-- number: tiny nobody MAE -->0<!-- end -->\n```\n"
    (tmp_path / "README.md").write_text(f"# Project\n\n{marks}\n{code}")
    (tmp_path / "docs" / "results.md").write_text("# Results\n\n<!-- results: pages --><!-- end -->\n")
    assert results.add(tmp_path, [leaderboard(tmp_path / "out")]) == "tiny"
    results.render(tmp_path)
    return tmp_path


def page(root):
    return root / "docs" / "results" / "tiny.md"


def change(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def test_the_pages_of_this_repository_are_what_their_result_files_say():
    assert results.check(REPOSITORY) == []


def test_a_page_has_the_scores_of_the_runs(root):
    assert results.check(root) == []
    text = page(root).read_text()
    for runs in MAE.values():
        assert f"| {np.mean(runs):.3f} ± {np.std(runs, ddof=1):.3f} |" in text
    differences = np.subtract(MAE["tfn"], MAE["text_only"])
    half = 4.302653 * differences.std(ddof=1) / 3**0.5  # the t quantile of two degrees of freedom, from a table
    low, high = differences.mean() - half, differences.mean() + half
    assert f"| [{low:+.3f}, {high:+.3f}] |" in text
    assert text.index("| tfn ") < text.index("| text_only ")  # by valid
    for words in ("batch_size 7", "0123456789 with changes", "![Methods side by side, tiny](tiny.png)", "mctn"):
        assert words in text
    readme = (root / "README.md").read_text()
    assert "TFN: <!-- number: tiny tfn MAE -->0.770 ± 0.044<!-- end -->" in readme
    assert f"{differences.mean():+.3f} ({low:+.3f} to {high:+.3f})" in readme
    assert "not widened for the number of comparisons" in readme
    assert "nobody MAE -->0<!-- end -->" in readme  # a block of code is left alone
    assert "- [tiny](results/tiny.md): Methods side by side" in (root / "docs" / "results.md").read_text()


def test_methods_that_a_command_names_and_the_table_lacks_are_said(root):
    assert "Asked for and not run" not in page(root).read_text()  # this command names none
    for method in MAE:
        path = root / "out" / method / "environment.json"
        environment = json.loads(path.read_text())
        words = ["--methods", "tfn", "mctn", "raven", "lmf", "mult", "--seeds", "1", "2", "3"]
        path.write_text(json.dumps({**environment, "command": [*environment["command"], *words]}))
    results.add(root, [root / "out"])
    results.render(root)
    lines = [line for line in page(root).read_text().splitlines() if "not run" in line]
    assert lines == ["- Asked for and not run: raven, mult."]  # mctn is impossible


def test_nothing_of_the_machine_is_kept(root):
    text = (root / "docs" / "results" / "tiny.json").read_text()
    assert "where" not in text
    assert "one-host" not in text
    assert "msa-jax leaderboard --data tiny '--out=my out'" in text


def test_of_every_path_only_the_last_part_is_kept(root):
    folder = experiment(root / "a run", "tfn", text_encoder="/some/where else/bert")
    environment = json.loads((folder / "environment.json").read_text())
    words = [
        "/some/where else/tiny",
        "--grid",
        "text_encoder=~/where else/bert,roberta",
        "freeze=a/|b/",
        "../where",
        "-1",
    ]
    (folder / "environment.json").write_text(json.dumps({**environment, "command": ["msa-jax", "sweep", *words]}))
    content, _ = result_files.result_of([folder])
    assert content["commands"] == ["msa-jax sweep tiny --grid text_encoder=bert,roberta 'freeze=a/|b/' where -1"]
    assert content["experiments"][0]["options"]["text_encoder"] == "bert"
    text = "The text encoder is /some/where/bert instead of\n\n| ~/a/b  | one/two |"
    assert result_files._without_paths(text) == "The text encoder is bert instead of\n\n| b  | one/two |"


def test_a_changed_number_is_found_with_its_page(root):
    change(page(root), "0.770", "0.760")
    assert results.check(root) == ["docs/results/tiny.md:11: 0.760, expected 0.770"]
    results.render(root)
    change(root / "README.md", "tfn MAE -->0.770", "tfn MAE -->0.069")
    assert [line.split(":")[0] for line in results.check(root)] == ["README.md"]
    assert "0.069" in results.check(root)[0]
    results.render(root)
    change(root / "docs" / "results" / "tiny.json", "0.74", "0.64")
    assert {line.split(":")[0] for line in results.check(root)} == {"README.md", "docs/results/tiny.md"}


def test_a_changed_picture_and_a_page_without_a_result_file_are_found(root):
    (root / "docs" / "results" / "tiny.png").write_bytes(PICTURE + b".")
    (root / "docs" / "results" / "other.md").write_text("MAE 0.1\n")
    found = results.check(root)
    assert len(found) == 2
    assert any("tiny.png" in line for line in found)
    assert any("other.md" in line for line in found)
    page(root).unlink()
    assert any("docs/results/tiny.md:1: nothing" in line for line in results.check(root))


def test_notes_stay_and_their_numbers_are_filled_in(root):
    path = root / "docs" / "results" / "tiny.json"
    change(path, '"notes": []', '"notes": ["TFN has {tfn MAE}, that is {tfn from text_only MAE}."]')
    assert results.add(root, [root / "out"], title="The field") == "tiny"
    results.render(root)
    text = page(root).read_text()
    assert "TFN has 0.770 ± 0.044, that is -0.060 (" in text
    assert "## The field" in text
    change(path, "{tfn MAE}", "{tfm MAE}")
    with pytest.raises(InputError, match="no experiment tfm; there are text_only, tfn, lmf"):
        results.check(root)


def test_experiments_together_are_one_file_with_differences(root):
    folders = [experiment(root / "a", "tfn"), experiment(root / "b", "tfn", maes=(0.7, 0.7, 0.8), max_epochs=3)]
    assert results.add(root, folders, name="pair", page="tiny") == "pair"
    results.render(root)
    text = page(root).read_text()
    assert "max_epochs 3" in text
    assert f"{np.mean((0.7, 0.7, 0.8)) - np.mean(MAE['tfn']):+.3f} (" in text
    assert text.count("not widened for the number of comparisons") == 1
    assert results.check(root) == []


def test_what_all_experiments_left_out_of_the_data_is_said_beside_its_name(root):
    folders = [
        experiment(root / "deaf" / name, name, label_hash="cd", leave_out=("audio", "vision"))
        for name in ("tfn", "lmf")
    ]
    results.add(root, folders, name="deaf", page="tiny")
    results.render(root)
    assert "**tiny without audio and vision, test, mean" in page(root).read_text()
    kept = results.load(root)
    rows = result_pages.summary(kept, ["tfn"], ["MAE"]).rows
    assert sorted(row[0] for row in rows) == ["tiny", "tiny without audio and vision"]


def test_a_study_stands_beside_the_paper(root):
    folder = root / "study"
    experiment(folder / "one", "tfn")
    experiment(folder / "two", "lmf")
    row = {"origin": {}, "paper": {"mosi": {"MAE": 0.713}}}
    content = {
        "kind": "table",
        "title": "Which parts help",
        "study": "tfn.table1",
        "paper": "Somebody, Table 1",
        "paper_dataset": "mosi",
        "not_comparable_because": ["another text encoder"],
        "metrics": ["MAE"],
        "experiments": [
            {"variant": "One", "folder": "/some/where/one", "not_possible_because": None},
            {"variant": "Two", "folder": "/some/where/two", "not_possible_because": None},
            {"variant": "Three", "folder": "/some/where/three", "not_possible_because": "no text"},
        ],
        "rows": [
            {"variant": "One", "difference_from": None, **row},
            {"variant": "Two", "difference_from": "One", **row, "paper": {}},
            {"variant": "Three", "difference_from": None, **row, "paper": {}},
        ],
        "context": [{"name": "Peer", "paper": {"mosi": {"MAE": 0.8}}, "origin": {"mosi": "copied"}}],
    }
    (folder / "table.json").write_text(json.dumps(content))
    results.add(root, [folder])
    results.render(root)
    text = page(root).read_text()
    for cells in (("One", "paper, mosi", "0.713"), ("Peer", "paper, mosi (copied)", "0.800"), ("Two", "One", "+0.160")):
        assert any(all(cell in line for cell in cells) for line in text.splitlines()), cells
    assert "Not possible here: Three: no text." in text
    (folder / "table.md").write_text("**A figure's table**\n")
    (folder / "table.json").write_text(json.dumps({**content, "kind": "label_distribution"}))
    results.add(root, [folder])
    results.render(root)
    assert "**A figure's table**" in page(root).read_text()
    assert "- The scores of the runs, and the tables above as text: [study.json]" in page(root).read_text()
    curves = {"protocol": "steps", "rates": [0.0, 0.5], "mask_seeds": [0], "names": {"one": "One"}}
    curves["each"] = {"one": {"1": {"MAE": [[0.7], [0.9]]}}}
    (folder / "table.json").write_text(
        json.dumps({**content, "kind": "robustness", "robustness": {**curves, "mean": {}}})
    )
    results.add(root, [folder])
    results.render(root)
    assert results.load(root)["study"]["curves"] == curves
    assert (
        "- The scores of the runs, their curves, and the tables above as text: [study.json]" in page(root).read_text()
    )


def test_curves_of_missing_modalities_are_shown(root):
    folder = root / "curves"
    folder.mkdir()
    content = {"protocol": "steps", "dataset": "tiny", "split": "test", "rates": [0.0, 0.5], "mask_seeds": [0]}
    content["each"] = {"run": {"1": {"MAE": [[0.7], [0.9]]}, "2": {"MAE": [[0.8], [1.1]]}}}
    (folder / "robustness.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="has no environment"):
        results.add(root, [folder])
    environment = json.loads((root / "out" / "tfn" / "environment.json").read_text())
    environment["command"] = ["msa-jax", "robustness", "run"]
    (folder / "robustness.json").write_text(json.dumps({**content, "environment": environment}))
    results.add(root, [folder])
    results.render(root)
    assert "1.000 ± 0.141" in page(root).read_text()
    assert results.check(root) == []
    kept = results.load(root)["curves"]
    for quote in (lambda: result_pages.number(kept, "run MAE"), lambda: result_pages.summary({"curves": kept}, [], [])):
        with pytest.raises(
            InputError, match=r"'What is left if .*' has curves alone, and no number that can be quoted"
        ):
            quote()

    trained = "msa-jax train tfn --out run"  # what a person has added
    change(root / "docs" / "results" / "curves.json", '"commands": [', f'"commands": ["{trained}", ')
    environment["command"] += ["--mask-seeds", "1"]
    (folder / "robustness.json").write_text(json.dumps({**content, "environment": environment}))
    results.add(root, [folder])
    assert results.load(root)["curves"]["commands"] == [trained, "msa-jax robustness run --mask-seeds 1"]


def test_a_papers_rows_come_from_its_study(root):
    marks = "<!-- paper: self_mm.table1; Self-MM; MAG-BERT (B), aligned --><!-- end -->\n\n"
    marks += "<!-- paper: dmmsa.table2; DMMSA --><!-- end -->\n\n<!-- results: all; lmf misa text_only; MAE --><!-- end -->\n\n"
    (root / "docs" / "page.md").write_text(marks + "<!-- results: all; mctn; MAE --><!-- end -->\n")
    results.render(root)
    lines = [
        [cell.strip() for cell in line.split("|")] for line in (root / "docs" / "page.md").read_text().splitlines()
    ]
    assert ["", "Self-MM", "mosi", "0.713", "0.798", "84.00", "85.98", "84.42", "85.95", "-", ""] in lines
    copied = "copied from MAG-BERT, selected on test"
    assert [
        "",
        "MAG-BERT (B), aligned",
        "mosi",
        "0.712",
        "0.796",
        "84.2",
        "86.1",
        "84.1",
        "86.0",
        copied,
        "",
    ] in lines
    assert any(line[1:5] == ["DMMSA", "sims", "0.3778", "0.66"] for line in lines)
    assert any(line[1:4] == ["tiny", "lmf", "3"] for line in lines)
    assert ["No leaderboard has mctn yet."] in lines
    assert "There is no leaderboard yet." in result_pages.filled("<!-- results: all --><!-- end -->", {})


@pytest.mark.slow
@pytest.mark.usefixtures("toy")
def test_what_a_real_leaderboard_writes_can_be_kept(tmp_path):
    (tmp_path / "README.md").write_text("")
    given = {"seeds": (1, 2), "out": tmp_path / "out", "log": None, "options": TOY_QUICK}
    row = run_leaderboard(tiny_dataset(), methods=("toy",), **given).content["rows"][0]
    results.add(tmp_path, [tmp_path / "out"])
    results.render(tmp_path)
    (kept,) = results.load(tmp_path)["tiny"]["experiments"]
    assert [run["test"]["MAE"] for run in kept["runs"]] == [run["test"]["MAE"] for run in row["runs"]]
    assert kept["options"].keys() == TOY_QUICK.keys()
    assert f"| {row['mean']['MAE']:.3f} ± {row['std']['MAE']:.3f} |" in page(tmp_path).read_text()
    assert results.check(tmp_path) == []


def test_folders_that_are_no_results_are_refused(root):
    with pytest.raises(InputError, match="no such folder"):
        results.add(root, [root / "nothing"])
    with pytest.raises(InputError, match="have other data"):
        results.add(root, [experiment(root / "a", "tfn"), experiment(root / "b", "tfn", label_hash="cd")])
    (root / "out" / "tfn" / "result.json").unlink()
    with pytest.raises(InputError, match="not finished"):
        results.add(root, [root / "out"])
    path = root / "docs" / "results" / "tiny.json"
    for text, message in (
        ("{", "not JSON"),
        ("[]", "not a result file"),
        ('{"format": 1, "kind": "study"}', "no 'page'"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            results.check(root)


def test_the_command_says_what_it_did(root, monkeypatch, capsys):
    monkeypatch.setattr(results, "ROOT", root)
    assert results.main(["--check"]) == 0
    change(page(root), "0.770", "0.760")
    assert results.main(["--check"]) == 1
    assert "docs/results/tiny.md:11: 0.760, expected 0.770" in capsys.readouterr().out
    assert results.main([]) == 0
    assert results.main(["add", str(root / "out" / "lmf"), "--name", "a/b"]) == 0
    assert (root / "docs" / "results" / "a_b.json").is_file()
    assert results.main(["add", str(root / "nothing")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_short_parts_of_a_result_file_stand_on_one_line():
    content = {"a": {"b": [1, None]}, "c": ["x" * 80, "y" * 80]}
    assert json.loads(result_files.write(content)) == content
    assert '"a": {"b": [1, null]}' in result_files.write(content).splitlines()[1]
