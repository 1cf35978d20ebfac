"""Tables of texts and labels: read exactly, split the same way every time, and every wrong cell named by its line."""

import json
import sys
import tracemalloc
import types
import warnings

import numpy as np
import pytest

from msa_jax.data import load_dataset, read_native, read_table, table_rows, values, write_native
from msa_jax.data.samples import load_split
from msa_jax.errors import DataWarning, InputError

SAID = {"name": "mine", "language": "en", "label_range": (-3, 3), "metrics": "mosi"}
ROWS = (
    "id,text,label,split\n"
    "a,good film,2.5,train\n"
    'b,"not, really ""good""\nat all",-1,train\n'
    "\n"
    "c,  好看 ,0,valid\n"
    "d,bad,-3,test\n"
)


def written(tmp_path, content, name="texts.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def quietly(path, **words):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_table(path, **(SAID | words))


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(("name", "separator"), [("t.csv", ","), ("t.csv", ";"), ("t.csv", "\t"), ("t.TSV", "\t")])
def test_a_table_is_read_exactly(mark, name, separator, tmp_path):
    rows = "\n".join(line if "really" in line else line.replace(",", separator) for line in ROWS.split("\n"))
    rows = rows.replace('b,"', f'b{separator}"').replace('at all",-1,', f'at all"{separator}-1{separator}')
    dataset = quietly(written(tmp_path, mark + rows.encode(), name))
    assert dataset.train.id.tolist() == ["a", "b"]
    assert dataset.train.raw_text.tolist() == ["good film", 'not, really "good"\nat all']
    assert dataset.train.label.tolist() == [2.5, -1.0]
    assert (dataset.valid.raw_text.tolist(), dataset.test.label.tolist()) == (["  好看 "], [-3.0])
    assert {key: getattr(dataset.card, key) for key in SAID} == SAID
    assert dataset.card.provenance == f"Table {name}, 4 rows."


def test_lines_of_objects_are_the_same_table(tmp_path):
    rows = [
        {"id": "a", "text": "good film", "label": 2.5, "split": "train"},
        {"split": "train", "label": "-1", "text": 'not, really "good"\nat all', "id": "b"},
        {"id": "c", "text": "  好看 ", "label": 0, "split": "dev"},
        {"id": "d", "text": "bad", "label": -3, "split": "TEST"},
    ]
    path = written(tmp_path, "\n\n".join(json.dumps(row) for row in rows), "t.jsonl")
    assert quietly(path).fingerprint() == quietly(written(tmp_path, ROWS)).fingerprint()


def test_parquet_is_read_by_pandas(tmp_path, monkeypatch):
    cells = (["a", "b", "c"], [1.0, -1.0, 0.5], ["train", "valid", "test"])

    class Columns:
        def __getitem__(self, at):
            return np.array(cells[at[1]], object)

    index = types.SimpleNamespace(names=[None])
    frame = types.SimpleNamespace(columns=("Text", "label", "split"), iloc=Columns(), index=index)
    monkeypatch.setitem(sys.modules, "pandas", types.SimpleNamespace(read_parquet=lambda path: frame, NA=object()))
    dataset = quietly(written(tmp_path, b"PAR1", "t.parquet"))
    assert (dataset.train.id.tolist(), dataset.test.raw_text.tolist()) == (["1"], ["c"])


def test_parquet_is_the_same_table_as_csv(tmp_path):
    pytest.importorskip("pyarrow")
    pandas = pytest.importorskip("pandas")
    table = written(tmp_path, ROWS)
    pandas.read_csv(table).to_parquet(tmp_path / "t.parquet")
    assert quietly(tmp_path / "t.parquet").fingerprint() == quietly(table).fingerprint()
    cut = written(tmp_path, (tmp_path / "t.parquet").read_bytes()[:-20], "cut.parquet")
    with pytest.raises(InputError, match=r"cut\.parquet: not a readable parquet file"):
        quietly(cut)


def parquet(tmp_path, frame):
    frame.to_parquet(tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


def test_the_index_of_a_parquet_is_a_column_if_it_has_a_name(tmp_path):
    pytest.importorskip("pyarrow")
    pandas = pytest.importorskip("pandas")
    table = written(tmp_path, ROWS)
    frame = pandas.read_csv(table)
    assert quietly(parquet(tmp_path, frame.set_index("id"))).fingerprint() == quietly(table).fingerprint()
    frame.index = frame.index.rename("ID")
    with pytest.raises(InputError, match="column id is there twice"):
        quietly(parquet(tmp_path, frame))


def test_na_of_pandas_is_nothing(tmp_path):
    pytest.importorskip("pyarrow")
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": ["a", "b"], "label": pandas.array([1, None], "Int64")})
    path = parquet(tmp_path, frame)
    with pytest.raises(InputError, match="row 2, column label: nothing; expected a number"):
        quietly(path)
    np.testing.assert_array_equal(load_split(path).label, np.array([1, np.nan], np.float32))


def test_lines_and_columns_that_spreadsheets_add_are_left_out(tmp_path):
    plain = "id;text;label;split\na;x;1;train\nb;y;1;valid\nc;z;1;test\n"
    expected = quietly(written(tmp_path, plain)).fingerprint()
    cleared = "".join(f"{line};;\n" for line in plain.splitlines()) + ";;;;;\n"
    for content in ("sep=;\r\n" + plain, '"sep=;"\n' + cleared):
        assert quietly(written(tmp_path, content)).fingerprint() == expected
    with pytest.raises(InputError, match="line 3, column label: 'good'"):
        quietly(written(tmp_path, "sep=;\ntext;label\na;good\n"))


def test_without_pandas_parquet_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        InputError, match=r"t\.parquet: reading \.parquet needs pandas and pyarrow .*or save it as \.csv"
    ):
        quietly(written(tmp_path, b"PAR1", "t.parquet"))


def many(rows):
    return "text,label\n" + "".join(f"text {row},{row % 7 - 3}\n" for row in range(rows))


@pytest.mark.parametrize(("rows", "counts"), [(3, (1, 1, 1)), (10, (7, 1, 2)), (101, (71, 10, 20))])
def test_splits_are_made_where_there_are_none(rows, counts, tmp_path):
    path = written(tmp_path, many(rows))
    with pytest.warns(
        DataWarning, match=r"no column split: samples shuffled with seed 0, 70 % train, 10 % valid, 20 % test"
    ):
        dataset = read_table(path, **SAID)
    assert tuple(len(split) for split in dataset.splits().values()) == counts
    ids = [split.id.astype(int) for split in dataset.splits().values()]
    assert sorted(np.concatenate(ids)) == list(range(1, rows + 1))
    assert all((np.diff(one) > 0).all() for one in ids)  # the order of the table is kept
    assert dataset.card.provenance.endswith("Splits made by shuffling with seed 0.")


def test_made_splits_keep_videos_whole(tmp_path):
    lines = [f"v{number % 20:02}$_$clip{number // 20},text {number},{number % 7 - 3}\n" for number in range(200)]
    with pytest.warns(
        DataWarning, match=r"20 videos, each in one split, shuffled with seed 0, .*\(train 140, valid 20, t"
    ):
        dataset = read_table(written(tmp_path, "id,text,label\n" + "".join(lines)), **SAID)
    videos = [{name.split("$_$")[0] for name in split.id} for split in dataset.splits().values()]
    assert [len(one) for one in videos] == [14, 2, 4]
    assert len(set.union(*videos)) == 20
    with pytest.warns(DataWarning, match="samples shuffled"):  # two videos make no three splits
        read_table(written(tmp_path, "id,text,label\n" + "".join(lines[:2] + lines[20:22]), "two.csv"), **SAID)


def test_one_far_too_long_text_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(values, "LARGEST_TEXTS", 4 * 10 * 50)
    path = written(tmp_path, many(9) + "x" * 51 + ",1\n")
    with pytest.raises(InputError, match=r"line 11, column text: 51 characters; expected at most 50 in 10 texts"):
        read_table(path, **SAID)


def test_splits_follow_the_seed(tmp_path):
    path = written(tmp_path, many(60))
    with pytest.warns(DataWarning, match="shuffled with seed"):
        first, again, other = (read_table(path, **SAID, split_seed=seed).test.id.tolist() for seed in (4, 4, 5))
    assert first == again != other
    with pytest.raises(InputError, match="split_seed is -1"):
        read_table(path, **SAID, split_seed=-1)


def test_what_is_not_said_is_guessed_in_one_line(tmp_path):
    path = written(tmp_path, "text,label,split\n好看,1,train\n不好看,5,valid\n一般,3,test\n", "mosi reviews.csv")
    with pytest.warns(
        DataWarning, match="guessed from labels and texts: language zh, label_range 1 to 5, metrics regr"
    ) as caught:
        card = load_dataset(path).card
    assert len(caught) == 1
    assert (card.name, card.language, card.label_range, card.metrics) == (
        "own_mosi_reviews",
        "zh",
        (1, 5),
        "regression",
    )


@pytest.mark.parametrize(("metrics", "expected"), [("mosi", (-3, 3)), ("sims", (-1, 1)), ("regression", (0, 1))])
def test_metrics_that_are_said_bring_their_label_range(metrics, expected, tmp_path):
    path = written(tmp_path, "text,label,split\na,1,train\nb,0.5,valid\nc,0,test\n")
    with pytest.warns(DataWarning, match="guessed from labels and texts: language en, label_range"):
        assert read_table(path, metrics=metrics).card.label_range == expected


def test_a_table_becomes_a_native_folder(tmp_path):
    dataset = quietly(written(tmp_path, ROWS))
    again = read_native(write_native(dataset, tmp_path / "data"))
    assert again.fingerprint() == dataset.fingerprint()
    assert again.card == dataset.card


def test_a_table_of_tabs_that_knows_no_quotes_loses_no_row(tmp_path):
    """Read as one of quotes, the text of b would go on to that of d, and c would be gone."""
    rows = (
        'id\ttext\tlabel\tsplit\na\t"so ""so"""\t0\ttrain\nb\t"Fine, he said\t1\ttrain\n'
        'c\tbad\t-2\tvalid\nd\tshe said "no"\t-1\ttest\n'
    )
    dataset = quietly(written(tmp_path, rows, "t.tsv"))
    assert dataset.train.raw_text.tolist() == ['so "so"', '"Fine, he said']
    assert (dataset.valid.label.tolist(), dataset.test.raw_text.tolist()) == ([-2.0], ['she said "no"'])


@pytest.mark.parametrize(
    "content",
    [
        'id\ttext\na\t"a list:\n1\tfoo\n2\tbar"\nb\tlast\n',  # two rows or four
        'text\tlabel\n"Fine, he said\t1\nbad\t2\nhe is 6\'2"\t3\n',  # one or three
    ],
)
def test_lines_of_tabs_that_can_be_read_in_two_ways_are_refused(tmp_path, content):
    with pytest.raises(InputError, match="line 2: a cell begins with a double quote that ends in another line"):
        load_split(written(tmp_path, content, "t.tsv"))
    with pytest.raises(InputError, match="line 3: a cell begins with a double quote that ends in another line"):
        load_split(written(tmp_path, f"sep=\t\n{content}", "t.csv"))


def test_a_long_cell_takes_little_memory(tmp_path):
    long = "word " * 400_000
    path = written(tmp_path, f'text\tlabel\n"{long}"\t1\n"{long[:-1]}""x\t1\n', "t.tsv")
    tracemalloc.start()
    rows = table_rows.read_rows(path)
    assert tracemalloc.get_traced_memory()[1] < 20 * path.stat().st_size
    tracemalloc.stop()
    assert [row.cells["text"] for row in rows] == [long, f'"{long[:-1]}""x']


def test_the_separator_is_the_one_that_a_first_line_tells(tmp_path):
    content = "sep=;\ntext;label;a, b, c, d;split\n" + "".join(
        f"{split};1;x;{split}\n" for split in ("train", "valid", "test")
    )
    with pytest.warns(DataWarning, match="not used: a, b, c, d"):
        dataset = read_table(written(tmp_path, content), **SAID)
    assert dataset.test.raw_text.tolist() == ["test"]


def test_a_line_break_in_the_heading_hides_no_separator(tmp_path):
    content = '"what, or\nwho";text;label;split\n' + "".join(
        f"x;{split};1;{split}\n" for split in ("train", "valid", "test")
    )
    with pytest.warns(DataWarning, match="not used: what, or"):
        assert read_table(written(tmp_path, content), **SAID).test.raw_text.tolist() == ["test"]


def test_texts_of_train_that_stand_in_test_are_counted(tmp_path):
    content = HEAD + "b,y,1,valid\nc, x ,1,test\nd,z,1,test\n"
    with pytest.warns(DataWarning, match="1 of 2 texts of test stand in train, too") as caught:
        read_table(written(tmp_path, content), **SAID)
    assert len(caught) == 1


def test_rows_of_other_splits_are_not_left_out_in_silence(tmp_path):
    path = written(tmp_path, HEAD + "b,y,1,test\n")
    with pytest.warns(
        DataWarning, match="the 1 rows of split test are read, and 1 of train are not; choose with --split"
    ):
        assert load_split(path).id.tolist() == ["b"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_split(path, "train").id.tolist() == ["a"]


@pytest.mark.parametrize("none", ["", "NA", "n/a", "?", "null"])
def test_a_label_that_says_that_there_is_none_stops_no_prediction(tmp_path, none):
    split = load_split(written(tmp_path, f"text,label\na,1\nb,{none}\n"))
    assert np.isnan(split.label).tolist() == [False, True]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\na\n\nb\n", "line 3 is blank; expected a text"),
        ("sep=;\ntext\na\n\nb\n", "line 4 is blank; expected a text"),
        ("text\na\nyes, but no\n", "line 3: 2 cells; expected one .* read from a .txt"),
    ],
)
def test_a_table_of_one_column_mixes_no_rows_up(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        load_split(written(tmp_path, content))


def test_blank_lines_around_a_table_of_one_column_are_no_rows(tmp_path):
    assert load_split(written(tmp_path, "\ntext\na\nb\n\n\n")).raw_text.tolist() == ["a", "b"]


def test_other_columns_are_left_aside_in_a_warning(tmp_path):
    path = written(tmp_path, "text,Label,mood,split\na,1,x,train\nb,1,x,valid\nc,1,x,test\n")
    with pytest.warns(DataWarning, match="texts.csv: not used: mood") as caught:
        read_table(path, **SAID)
    assert len(caught) == 1


HEAD = "id,text,label,split\na,x,1,train\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no rows; found nothing"),
        ("id,text,label\n", "no rows; found id, text, label"),
        ("id,words,label\na,b,1\n", "column text is missing; found id, words, label, expected text and label"),
        ("text,text,label\na,b,1\n", "column text is there twice"),
        (HEAD + "b,y\n", r"line 3: 2 cells; expected 4 \(id, text, label, split\)"),
        (HEAD + "b,y, z,1,test\n", "line 3: 5 cells; expected 4"),
        (HEAD + 'b,"y\nz",good,test\n', "line 3, column label: 'good'; expected a number"),
        (HEAD + 'b,"y\nz",1,test\nc,x,,test\n', "line 5, column label: nothing; expected a number"),
        (HEAD + 'b,y,"0,5",test\n', "line 3, column label: '0,5'; expected a number: write 0.5, with a point"),
        ("text,,label,\na,b,1,c\n", "column without a name is there twice"),
        (HEAD + "b,y,nan,test\n", "line 3, column label: 'nan'; expected a number"),
        (HEAD + "b,y,1_0,test\n", "line 3, column label: '1_0'; expected a number"),
        (HEAD + "b,y,7,test\n", r"line 3, column label: 7; expected a number in label_range \[-3, 3\]"),
        (HEAD + "b, ,1,test\n", "line 3, column text: nothing; expected text"),
        (HEAD + " ,y,1,test\n", "line 3, column id: nothing"),
        (HEAD + "\n\na,y,1,test\n", "line 5, column id: 'a', which line 2 has; expected ids that differ"),
        (HEAD + "b,y,1,testing\n", "line 3, column split: 'testing'; expected train, valid or test"),
        (HEAD + "b,y,1,test\n", "column split: no row is valid"),
        ("text,label\na,1\nb,1\n", "2 samples and no column split; expected at least three samples"),
        (
            HEAD + f"b,{'y' * 200_000},1,test\n",
            "line 3: field larger than field limit .* .jsonl may hold a longer text",
        ),
        (HEAD + 'b,"y,1,test\n', "line 3: unexpected end of data; is a double quote missing"),
        (HEAD.encode() + b"b,caf\xe9,1,test\n", "line 3: not UTF-8 text"),
        ("text,label\na,1".encode("utf-16"), "line 1: not UTF-8 text"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_column(content, message, tmp_path):
    path = written(tmp_path, content)
    with pytest.raises(InputError, match=message) as raised:
        quietly(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


GOOD = '{"text": "a", "label": 1, "id": 3, "split": "train"}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD + "{'text'}", "line 2: not JSON"),
        (GOOD + "[" * 100_000, "line 2: not JSON"),
        (GOOD + '{"text": "a", "Text": "b", "label": 1}', "line 2: column text is there twice"),
        (GOOD + "[1]", "line 2: list; expected an object"),
        (GOOD + '{"text": "a", "label": 1, "split": "test"}', "line 2, column id: missing; expected it, because"),
        (GOOD + '{"text": ["a"], "label": 1, "id": 1, "split": "test"}', "line 2, column text: list; expected text"),
        (GOOD + '{"text": null, "label": 1, "id": 1, "split": "test"}', "line 2, column text: nothing; expected text"),
        (GOOD + '{"text": 5, "label": 1, "id": 1, "split": "test"}', "line 2, column text: 5; expected text"),
        (GOOD + '{"text": "\\ud800", "label": 1, "id": 1, "split": "test"}', "line 2, column text: half a surrogate"),
        (
            GOOD + '{"text": "a", "label": true, "id": 1, "split": "test"}',
            "line 2, column label: True; expected a number",
        ),
        (GOOD + '{"text": "a", "label": NaN, "id": 1, "split": "test"}', "line 2, column label: nan"),
        (GOOD + f'{{"text": "a", "label": 1{"0" * 400}, "id": 1, "split": "test"}}', "line 2, column label: 1000"),
        (GOOD + '{"text": "a", "label": 1, "id": 1.5, "split": "test"}', "line 2, column id: 1.5"),
        (GOOD + '{"text": "a", "label": 1, "id": 1, "split": 3}', "line 2, column split: 3; expected train"),
    ],
)
def test_what_is_wrong_in_lines_of_objects_is_named(content, message, tmp_path):
    with pytest.raises(InputError, match=message):
        quietly(written(tmp_path, content, "t.jsonl"))
