"""Each form by small scripts: what is a scene, a spoken line, a text on the screen."""

import pytest

from evergreen_server.film.screenplay.reading import read_script
from evergreen_server.film.screenplay.script import (
    NARRATOR,
    Fault,
    InvalidScript,
    Script,
    ScriptFormat,
    ScriptScene,
    TransitionKind,
)


def spoken(scene: ScriptScene) -> list[tuple[str, str, str]]:
    return [(line.speaker, line.direction, line.text) for line in scene.spoken]


def faults_of(text: str, form: ScriptFormat | None = None) -> list[tuple[int, int]]:
    with pytest.raises(InvalidScript) as caught:
        read_script(text, form)
    return [(fault.line, fault.column) for fault in caught.value.faults]


def av(body: str) -> Script:
    return read_script(f"TITLE: T\nCast:\n    Ada = a woman\n\n{body}", ScriptFormat.AV)


def test_narration_on_the_line_after_its_field_is_not_lost() -> None:
    (scene,) = av("[0:00 – A]\nVisual: a hill\nNarration:\n“It begins.”\n").scenes

    assert scene.visuals == ("a hill",)
    assert spoken(scene) == [(NARRATOR, "", "It begins.")]


@pytest.mark.parametrize(
    ("header", "title"),
    [
        ("[0:00 – Title without a stroke]", "Title without a stroke"),
        ("[0:00 - One | two]", "One | two"),
        ("[0:00 – 0:09 – One – two]", "One – two"),
        ("[0:00–0:09]", ""),
        ("[ 00:00 ]", ""),
        ("[0:00:00 — Hours]", "Hours"),
    ],
)
def test_every_bracket_with_a_time_is_a_scene(header: str, title: str) -> None:
    (scene,) = av(f"{header}\nVisual: a hill\n").scenes

    assert (scene.title, scene.start) == (title, 0)


def test_fields_of_av_scripts() -> None:
    (scene,) = av(
        "[0:00 – A]\n"
        "A hill without a field.\n"
        "VOICE OVER (ADA – softly): Come.\n"
        "Now.\n"
        "Audio: Here we are.\n"
        "Title text: THE HILL\n"
        "\n"
        "Clouds above it.\n"
        "“Nobody came.”\n"
        "Sound: wind\n"
        "Music: a flute\n"
        "Camera: slow pan\n"
    ).scenes

    assert scene.visuals == ("A hill without a field.", "Clouds above it.")
    assert spoken(scene) == [
        ("Ada", "softly", "Come. Now."),
        (NARRATOR, "", "Here we are."),
        (NARRATOR, "", "Nobody came."),
    ]
    assert scene.captions == ("THE HILL",)
    assert scene.sounds == ("wind",)
    assert scene.music == ("a flute Camera: slow pan",)


def test_narration_goes_on_over_an_empty_line_unless_it_was_quoted() -> None:
    quoted, bare = av(
        "[0:00 – A]\nNarration:\n“One.”\n“Two.”\n\n“Three.”\n\nA hill.\n\n[0:09 – B]\nNarration: One.\n\nTwo.\n"
    ).scenes

    assert [text for _, _, text in spoken(quoted)] == ["One.", "Two.", "Three."]
    assert quoted.visuals == ("A hill.",)
    assert [text for _, _, text in spoken(bare)] == ["One.", "Two."]


def test_a_scene_lasts_until_the_next_one_and_the_last_until_its_end() -> None:
    by_span = av("[0:00 – A]\na\n[0:10 – 0:12 – B]\nb\n").scenes
    by_end = av("[0:00 – A]\na\n[0:10 – B]\nb\n[0:14 – END]\nCredits: nobody\n").scenes
    open_end = av("[0:00 – 0:07 – A]\na\n[0:10 – B]\nb\nEND\nCredits: nobody\n").scenes

    assert [scene.seconds for scene in by_span] == [10, 2]
    assert [scene.seconds for scene in by_end] == [10, 4]
    assert [scene.seconds for scene in open_end] == [10, None]
    assert open_end[1].visuals == ("b",)


def test_only_a_line_of_its_own_ends_a_script() -> None:
    first, second = av(
        "[0:00 – A]\nEND TABLES and lamps.\nEnd\n[0:05 – B]\nb\nTHE END.\nEND.\nCredits: nobody\n"
    ).scenes

    assert first.visuals == ("END TABLES and lamps. End",)
    assert second.visuals == ("b THE END.",)


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ("[0:10 – A]\na\n[0:05 – B]\nb\n[0:05 – C]\nc\n", [(7, 1), (9, 1)]),
        ("[0:10 – 0:09 – A]\na\n", [(5, 1)]),
        ("[0:00 – 0:09 – A]\na\n[0:05 – B]\nb\n", [(5, 1)]),
        ("[0:75 – A]\na\n", [(5, 1)]),
        ("[1:00:01 – A]\na\n", [(5, 1)]),
        ("[0:00 A]\na\n[0:05 – B\nb\n", [(5, 1), (7, 1)]),
        ("[0:00]\n\n[0:05 – B]\nb\n", [(5, 1)]),
        ("[0:00 – A]\na\nEND OF PART ONE\nCredits\n[0:05 – B]\nb\n", [(9, 1)]),
    ],
)
def test_faults_of_av_scripts_name_their_lines(body: str, places: list[tuple[int, int]]) -> None:
    with pytest.raises(InvalidScript) as caught:
        av(body)

    assert [(fault.line, fault.column) for fault in caught.value.faults] == places


TABLE = (
    "# The Tea\nCast:\n    Ada = a woman\n\n"
    "| Time | Visual | Narration | Text | Sound | Seconds |\n|:--|---|:-:|---|---|---|\n"
)


def test_rows_of_a_table_are_scenes() -> None:
    script = read_script(
        TABLE + "| 0:00 | Steam. *A cup.* | “It begins: with water.” | TEA | kettle | |\n"
        "| 0:08 – 0:20 | Ada pours. | Ada (softly): Not too hot.<br>And then: a pause. | | | |\n"
        "| | Closer. | **Narrator**: Good. | A \\| B | | |\n"
        "| | | | | | |\n"
        "| 0:20 | End. | BEN: Who? | | | 7.5 s |\n"
    )

    assert script.format is ScriptFormat.AV_TABLE
    assert script.header.title == "The Tea"
    assert [(scene.line, scene.start, scene.seconds) for scene in script.scenes] == [
        (7, 0, 8),
        (8, 8, 12),
        (11, 20, 7.5),
    ]
    assert script.scenes[0].visuals == ("Steam. A cup.",)
    assert spoken(script.scenes[0]) == [(NARRATOR, "", "It begins: with water.")]
    assert spoken(script.scenes[1]) == [
        ("Ada", "softly", "Not too hot."),
        (NARRATOR, "", "And then: a pause."),
        (NARRATOR, "", "Good."),
    ]
    assert script.scenes[1].captions == ("A | B",)
    assert spoken(script.scenes[2]) == [("BEN", "", "Who?")]


def test_a_table_may_be_separated_by_tabs() -> None:
    script = read_script("scene\tpicture\tvoice\tseconds\n1\tA dog\tHe runs.\t5\n1\tCloser\t\t2\n2\tA cat\t\t\n")

    assert script.format is ScriptFormat.AV_TABLE
    assert [(scene.number, scene.seconds, scene.visuals) for scene in script.scenes] == [
        ("1", 7, ("A dog", "Closer")),
        ("2", None, ("A cat",)),
    ]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (TABLE + "| 0:00 | a | b | c | d | e |\n", [(7, 1)]),
        (TABLE + "| 0:00 | a | | | | |\n| x | b | | | | |\n", [(8, 1), (8, 1)]),
        (TABLE + "| 0:00 | a | | | | |\n| 0:00 | b | | | | |\n", [(8, 1)]),
        (TABLE + "| 0:00 | a | b | | | | |\n", [(1, 1), (7, 1)]),
        (TABLE + "| 0:00 | a | b | | | |\nThat was all.\n", [(8, 1)]),
        ("| Time | Visual | Mood |\n| 0:00 | a | b |\n", [(1, 1)]),
        ("| Time | Visual | Picture |\n| 0:00 | a | b |\n", [(1, 1)]),
        ("| Time | Visual |\n| 0:00 | |\n", [(2, 1)]),
    ],
)
def test_faults_of_tables_name_their_lines(text: str, places: list[tuple[int, int]]) -> None:
    assert faults_of(text, ScriptFormat.AV_TABLE) == places


def test_markdown() -> None:
    script = read_script(
        "# The Tea\n\nA preface.\n\n## Scene 2a – Water\n\n*Steam\nrises.* A **big** [cup](https://example.org).\n"
        "<!-- not\n\nyet -->\n**Ada** (softly): Come,\n“now”.\n**Ben:** “No.”\n- a spoon\n- a cat\n> TEA\n> for two\n"
        "\n---\n\nDark.\n\n---\n\n## The \\*end\\*\n"
    )

    assert script.format is ScriptFormat.MARKDOWN
    assert (script.header.title, script.preface) == ("The Tea", "A preface.")
    assert [(scene.number, scene.title) for scene in script.scenes] == [("2a", "Water"), ("", ""), ("", "The *end*")]
    assert script.scenes[0].visuals == ("Steam rises. A big cup.",)
    assert spoken(script.scenes[0]) == [("Ada", "softly", "Come, “now”."), ("Ben", "", "“No.” - a spoon - a cat")]
    assert script.scenes[0].captions == ("TEA\nfor two",)
    assert script.scenes[1].visuals == ("Dark.",)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("# T\n\nNo scene.\n", [(1, 1)]),
        ("# T\n\n# Scene\n\na\n", [(1, 1), (3, 1)]),
        ("# T\n\n**Ada**: Too early.\n\n## S\n\na\n", [(3, 1)]),
        ("# T\n\n## S\n\n```\na\n```\n", [(5, 1), (7, 1)]),
        ("# T\n\n## S\n\n### Deeper\n\na\n", [(5, 1)]),
        ("# T\n\n## S\n\na <!-- b\n", [(5, 1)]),
        ("# T\n\n## S\n\n**Ada**:\n\na\n", [(5, 1)]),
        ("---\ntitle: T\nnothing\n---\n## S\n\na\n", [(3, 1)]),
    ],
)
def test_faults_of_markdown_name_their_lines(text: str, places: list[tuple[int, int]]) -> None:
    assert faults_of(text, ScriptFormat.MARKDOWN) == places


def test_paragraphs_of_plain_text_are_narrated_scenes() -> None:
    script = read_script("Title: Plain\nStyle: ink\n\nThere was a dog. It\nran.\n\n\nThe end: of it.\n")

    assert script.format is ScriptFormat.PLAIN
    assert script.header.style == "ink"
    assert [(scene.line, scene.visuals, spoken(scene)) for scene in script.scenes] == [
        (4, ("There was a dog.",), [(NARRATOR, "", "There was a dog. It ran.")]),
        (8, ("The end: of it.",), [(NARRATOR, "", "The end: of it.")]),
    ]


def test_a_plain_text_may_begin_with_a_colon() -> None:
    script = read_script("Remember: there was a dog.\n")

    assert spoken(script.scenes[0]) == [(NARRATOR, "", "Remember: there was a dog.")]


def fountain(body: str) -> Script:
    return read_script(f"INT. HOUSE - DAY\n\n{body}", ScriptFormat.FOUNTAIN)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("CUT TO:", TransitionKind.CUT),
        ("DISSOLVE TO:", TransitionKind.DISSOLVE),
        ("FADE OUT.", TransitionKind.BLACK),
        ("FADE TO BLACK.", TransitionKind.BLACK),
        ("> Slow crossfade", TransitionKind.DISSOLVE),
        ("SMASH CUT TO:", TransitionKind.CUT),
    ],
)
def test_transitions_of_fountain(name: str, kind: TransitionKind) -> None:
    (scene,) = fountain(f"A dog.\n\n{name}\n").scenes

    assert (scene.transition, scene.visuals) == (kind, ("A dog.",))


@pytest.mark.parametrize(
    ("cue", "speaker"),
    [
        ("ADA", "ADA"),
        ("ÉLODIE (V.O.)", "ÉLODIE"),
        ("ЁЖ", "ЁЖ"),
        ("23 SKIDOO", "23 SKIDOO"),
        ("DEALER #2", "DEALER #2"),
        ("@李雷", "李雷"),
        ("NARRATOR (V.O.)", NARRATOR),
        ("O’BRIEN (CONT'D) (O.S.) ^", "O’BRIEN"),
    ],
)
def test_cues_of_fountain(cue: str, speaker: str) -> None:
    (scene,) = fountain(f"{cue}\nHello.\n").scenes

    assert spoken(scene) == [(speaker, "", "Hello.")]


@pytest.mark.parametrize(
    "action",
    [
        "23\nskidoo",
        "BANG!\nA door.",
        "ADA\n.FORCED",
        "Est. 1985.",
        "李雷\n走了。",
        "Ada\nleaves.",
        "A [bracket] * _ \\ left",
    ],
)
def test_what_is_no_cue_and_no_heading_stays_action(action: str) -> None:
    scene = fountain(f"{action}\n").scenes[0]

    assert spoken(scene) == []
    assert scene.visuals[0] == action.split("\n.")[0].replace("\n", " ")


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ("A [[note\nover two lines.\n\nAction.\n", [(3, 3)]),
        ("A /* cut\n\nthat lasts.\n", [(3, 3)]),
        ("A [[note]] and [[another.", [(3, 16)]),
        ("@Ada\n\nAction.\n", [(3, 1)]),
        ("ADA\n(softly)\n\nAction.\n", [(3, 1)]),
        ("ADA\n(softly\nHello.\n\nBEN\n(Not so) loud.\n", [(4, 1)]),
        ("\n".join(["line"] * 501), [(503, 1)]),
    ],
)
def test_faults_of_fountain_name_line_and_column(body: str, places: list[tuple[int, int]]) -> None:
    with pytest.raises(InvalidScript) as caught:
        fountain(body)

    assert [(fault.line, fault.column) for fault in caught.value.faults] == places


def test_nobody_speaks_before_the_first_scene() -> None:
    assert faults_of("FADE IN:\n\nADA\nToo early.\n\nINT. HOUSE - DAY\n\nA dog.\n") == [(4, 1)]


def test_a_note_over_two_lines_and_a_boneyard_between_cue_and_speech_are_not_seen() -> None:
    (scene,) = fountain("ADA\n/* (angry) */\n[[why\n  \nso?]]\nHello [[a]]there.\n").scenes

    assert spoken(scene) == [("ADA", "", "Hello there.")]
    assert scene.visuals == ()


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("[0:00 – A]\nINT. HOUSE - DAY\n\na\n", ScriptFormat.AV),
        ("# T\n\n| time | visual |\n|---|---|\n| 0:00 | a |\n", ScriptFormat.AV_TABLE),
        ("# Act\n\nINT. HOUSE - DAY\n\na\n", ScriptFormat.FOUNTAIN),
        ("## Scene\n\na\n", ScriptFormat.MARKDOWN),
        ("---\ntitle: T\n---\n\n---\n\na\n", ScriptFormat.MARKDOWN),
        ("Title: T\nDraft date: today\n\n.HOUSE\n\na\n", ScriptFormat.FOUNTAIN),
        ("Title: T\n\na\n", ScriptFormat.PLAIN),
        ("Interior design is a career.\n\nEst. 1985.\n", ScriptFormat.PLAIN),
        ("[no time – A]\n", ScriptFormat.PLAIN),
        ("a | b\n", ScriptFormat.PLAIN),
    ],
)
def test_the_form_is_found_out(text: str, form: ScriptFormat) -> None:
    assert read_script(text).format is form


def test_a_fault_says_where_it_is() -> None:
    assert str(Fault(line=3, column=5, message="it is wrong")) == "line 3, column 5: it is wrong"


def test_the_first_hundred_faults_are_kept_and_all_are_counted() -> None:
    with pytest.raises(InvalidScript) as caught:
        read_script("## S\n\n" + "### deeper\n" * 150 + "\na\n")

    assert (len(caught.value.faults), caught.value.count) == (100, 150)
    assert str(caught.value).endswith("; 147 more")
