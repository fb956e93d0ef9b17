"""docs_test.py - what the documentation quotes is what the tests compare."""
import subprocess

from federation import FEDRA, TOP, Tap


def the_protocol_tells_the_golden_stories():
    for name in ("golden_story.txt", "golden_story_late.txt"):
        story = (TOP / "tests" / "unit" / "core" / name).read_text()
        told = "".join("    " + line + "\n" for line in story.splitlines())
        assert told in (TOP / "docs" / "protocol.md").read_text(), f"docs/protocol.md tells another story than {name}"


def the_page_of_robust_rules_ends_with_their_table():
    page = (TOP / "docs" / "robustness.md").read_text()
    table = subprocess.run([FEDRA, "aggregate", "--list", "--markdown"], stdout=subprocess.PIPE, text=True,
                           check=True).stdout
    assert page.endswith(table.rstrip("\n") + "\n"), \
        "docs/robustness.md does not end with what `fedra aggregate --list --markdown` prints"


def main():
    tap = Tap()
    tap.case("the_protocol_tells_the_golden_stories", the_protocol_tells_the_golden_stories)
    tap.case("the_page_of_robust_rules_ends_with_their_table", the_page_of_robust_rules_ends_with_their_table)
    tap.finish()


main()
