"""One table, four renderings."""

import json
import re

import pytest

from msa_jax.report.table import Table, interval_cell, markdown_table, mean_sd, metric_cell, number, percent

TABLE = Table(
    columns=("method", "MAE", "reading"),
    rows=[("self_mm", "0.713 ± 0.012", "worse"), ("a&b|50%", None, "better"), ("中文", -0.25, "[x]")],
    caption="mosi, 5 seeds",
    notes=("MAE: lower is better.",),
)


def test_text_is_aligned_also_under_wide_characters():
    assert TABLE.text().splitlines() == [
        "mosi, 5 seeds",
        "",
        "method             MAE  reading",
        "-------  -------------  -------",
        "self_mm  0.713 ± 0.012  worse",
        "a&b|50%              -  better",
        "中文            -0.250  [x]",
        "",
        "* MAE: lower is better.",
    ]
    assert TABLE.width() == len("-------  -------------  -------")


def test_long_notes_are_wrapped_in_text_only():
    note = "word " * 40
    table = Table(columns=("a",), rows=[("b",)], notes=(note.strip(),))
    assert max(map(len, table.text().splitlines())) <= 100
    assert note.strip() in table.markdown()


def test_markdown_has_a_rule_and_escaped_bars():
    assert TABLE.markdown().splitlines() == [
        "**mosi, 5 seeds**",
        "",
        "| method   |           MAE | reading |",
        "| :------- | ------------: | :------ |",
        "| self_mm  | 0.713 ± 0.012 | worse   |",
        "| a&b\\|50% |             - | better  |",
        "| 中文     |        -0.250 | [x]     |",
        "",
        "- MAE: lower is better.",
    ]


@pytest.mark.parametrize(
    ("cell", "escaped"),
    [
        ("_x_", r"\_x\_"),
        ("__init__", r"\_\_init\_\_"),
        ("_folder", r"\_folder"),
        ("folder_", r"folder\_"),
        ("a__b", r"a\_\_b"),
        ("[x](http://e)", r"[x\](http://e)"),
        ("[a [b] c](http://e)", r"[a [b] c\](http://e)"),
        ("[x][y]", r"[x\][y]"),
        ("&lt;b&gt; &#65; &#x41;", r"\&lt;b\&gt; \&#65; \&#x41;"),
        ("$a$ and $b$", r"\$a\$ and \$b\$"),
        ("-3g5yACwYnA$_$10", r"-3g5yACwYnA\$\_\$10"),
        ("~~x~~ ~y~", r"\~\~x\~\~ \~y\~"),
        ("Has0_acc_2", "Has0_acc_2"),
        ("R&D, a & b", "R&D, a & b"),
        ("[-0.050, +0.012]", "[-0.050, +0.012]"),
    ],
)
def test_markdown_shows_a_cell_a_caption_and_a_note_as_they_are(cell, escaped):
    lines = Table(columns=("x",), rows=[(cell,)], caption=cell, notes=(cell,)).markdown().splitlines()
    head, row, note = lines[0], lines[4], lines[6]
    assert (head, row, note) == (f"**{escaped}**", f"| {escaped} |", f"- {escaped}")


def test_latex_is_booktabs_and_escaped():
    assert [re.sub(r" +", " ", line) for line in TABLE.latex().splitlines()] == [
        r"\begin{table}[t]",
        r" \centering",
        r" \caption{mosi, 5 seeds}",
        r" \begin{tabular}{lrl}",
        r" \toprule",
        r" method & MAE & reading \\",
        r" \midrule",
        r" self\_mm & 0.713 $\pm$ 0.012 & worse \\",
        r" a\&b\textbar{}50\% & -- & better \\",
        r" 中文 & $-$0.250 & [x] \\",
        r" \bottomrule",
        r" \end{tabular}",
        r" \par\smallskip{\footnotesize MAE: lower is better.\par}",
        r"\end{table}",
    ]


def test_latex_escapes_every_special_character_once():
    table = Table(columns=("x",), rows=[(r"\ & % $ # _ { } ~ ^ < > |",)])
    escaped = (
        r"\textbackslash{} \& \% \$ \# \_ \{ \} \textasciitilde{} \textasciicircum{} "
        r"\textless{} \textgreater{} \textbar{}"
    )
    assert f"    {escaped} \\\\" in table.latex().splitlines()


def test_latex_rows_never_begin_like_an_argument_of_the_line_break():
    rows = Table(columns=("x",), rows=[("[1, 2]",), ("*",)]).latex().splitlines()
    assert r"    {}[1, 2] \\" in rows
    assert any(row.startswith("    {}*") for row in rows)


def test_latex_minus_is_a_minus_and_a_hyphen_a_hyphen():
    latex = Table(columns=("x", "y"), rows=[("self-mm-1", "[-0.10, +0.20]")]).latex()
    assert "self-mm-1 & [$-$0.10, +0.20]" in latex


@pytest.mark.parametrize(
    ("cell", "escaped"),
    [
        ("-3g5yACwYnA$_$10", r"-3g5yACwYnA\$\_\$10"),
        ("-3$_$10", r"-3\$\_\$10"),
        ("-0.250", "$-$0.250"),
        ("-1.00 ± 0.50", r"$-$1.00 $\pm$ 0.50"),
        ("-0.3 (-0.50 to -0.10)", "$-$0.3 ($-$0.50 to $-$0.10)"),
        ("-5%", r"$-$5\%"),
        ("Classes part at -0.1, 0.1.", "Classes part at $-$0.1, 0.1."),
        ("2026-01-02 --seeds", "2026-01-02 --seeds"),
    ],
)
def test_latex_has_a_minus_before_numbers_alone(cell, escaped):
    lines = Table(columns=("x",), rows=[(cell,)], caption=cell).latex().splitlines()
    assert f"  \\caption{{{escaped}}}" in lines
    assert f"    {escaped} \\\\" in [re.sub(r" +(?=\\)", " ", line) for line in lines]


def test_json_keeps_numbers_and_turns_nan_into_null():
    table = Table(columns=("a", "b", "c"), rows=[(1, 0.123456789, float("nan"))], caption="x")
    expected = {"caption": "x", "columns": ["a", "b", "c"], "rows": [[1, 0.123456789, None]], "notes": []}
    assert table.json() == expected
    assert json.dumps(table.json(), allow_nan=False)


def test_cells_of_markdown_stay_markdown_and_a_bar_parts_none():
    lines = markdown_table(("option", "value"), [("`freeze`", "a/|b/"), ("[x](y)", "*")]).splitlines()
    assert lines == ["| option | value |", "| --- | --- |", "| `freeze` | a/&#124;b/ |", "| [x](y) | * |"]


def test_transposed_twice_is_the_table_itself():
    table = Table(columns=("m", "a", "b"), rows=[("x", "1", "2"), ("y", "3", "4")])
    turned = table.transposed()
    assert turned.columns == ("m", "x", "y")
    assert turned.rows == [("a", "1", "3"), ("b", "2", "4")]
    assert turned.transposed().text() == table.text()


def test_a_table_without_rows_or_caption_still_renders():
    table = Table(columns=("method", "MAE"), rows=[])
    assert table.text() == "method  MAE\n------  ---"
    assert table.markdown() == "| method | MAE |\n| :----- | :-- |"
    assert r"\caption" not in table.latex()


def test_a_line_break_in_a_cell_does_not_break_the_row():
    assert "a b" in Table(columns=("x",), rows=[("a\nb",)]).text()


def test_a_line_break_in_a_caption_or_a_note_breaks_nothing():
    table = Table(columns=("x",), rows=[("y",)], caption="a\n\nb", notes=["c\n- d", "e"])
    assert table.markdown().splitlines() == ["**a b**", "", "| x   |", "| :-- |", "| y   |", "", "- c - d", "- e"]
    assert "  \\caption{a b}" in table.latex().splitlines()
    assert table.text().splitlines()[-2:] == ["* c - d", "* e"]
    assert table.json() == {"caption": "a b", "columns": ["x"], "rows": [["y"]], "notes": ["c - d", "e"]}


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="row 1 has 1 cells: expected 2"):
        Table(columns=("a", "b"), rows=[("x", "y"), ("x",)])


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (mean_sd(0.7134, 0.0121), "0.713 ± 0.012"),
        (mean_sd(0.7134), "0.713"),
        (mean_sd(0.7134, float("nan")), "0.713"),
        (mean_sd(None, 0.1), "-"),
        (mean_sd(-0.25, 0.1, 1, signed=True), "-0.2 ± 0.1"),
        (number(0.0123, 2, signed=True), "+0.01"),
        (number(-0.0001, 3, signed=True), "0.000"),
        (number(float("nan")), "-"),
        (percent(0.84), "84.00"),
        (percent(None), "-"),
        (metric_cell("MAE", 0.713, 0.012), "0.713 ± 0.012"),
        (metric_cell("Corr", 0.798), "0.798"),
        (metric_cell("Has0_acc_2", 0.84, 0.005), "84.00 ± 0.50"),
        (metric_cell("F1_score", -0.01, signed=True), "-1.00"),
        (metric_cell("Mult_acc_7", None, None), "-"),
        (interval_cell("MAE", -0.05, 0.0124), "[-0.050, +0.012]"),
        (interval_cell("F1_score", 0.01, 0.02, "({} to {})"), "(+1.00 to +2.00)"),
        (interval_cell("MAE", None, None), None),
    ],
)
def test_numbers_are_written_as_papers_write_them(written, expected):
    assert written == expected


def test_control_characters_are_written_as_escapes():
    table = Table(columns=("a\x1b[31m",), rows=[("b\tc\x07\x9b",)], caption="d\x7f")
    assert table.text() == "d\\x7f\n\na\\x1b[31m\n-----------\nb c\\x07\\x9b"
    assert table.json()["rows"] == [["b\tc\x07\x9b"]]
