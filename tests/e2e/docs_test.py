"""docs_test.py - what the documentation quotes is what the tests compare."""
from federation import TOP, Tap


def the_protocol_tells_the_golden_story():
    story = (TOP / "tests" / "unit" / "core" / "golden_story.txt").read_text()
    told = "".join("    " + line + "\n" for line in story.splitlines())
    assert told in (TOP / "docs" / "protocol.md").read_text(), "docs/protocol.md tells another story than golden_story.txt"


def main():
    tap = Tap()
    tap.case("the_protocol_tells_the_golden_story", the_protocol_tells_the_golden_story)
    tap.finish()


main()
