"""docs_test.py - what the documentation quotes is what the tests compare."""
from federation import TOP, Tap


def the_protocol_tells_the_golden_stories():
    for name in ("golden_story.txt", "golden_story_late.txt"):
        story = (TOP / "tests" / "unit" / "core" / name).read_text()
        told = "".join("    " + line + "\n" for line in story.splitlines())
        assert told in (TOP / "docs" / "protocol.md").read_text(), f"docs/protocol.md tells another story than {name}"


def main():
    tap = Tap()
    tap.case("the_protocol_tells_the_golden_stories", the_protocol_tells_the_golden_stories)
    tap.finish()


main()
