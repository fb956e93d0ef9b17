"""docs_test.py - what the documentation quotes is what the tests compare."""
import re
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


def every_command_has_its_part():
    page = subprocess.run([FEDRA, "help", "--markdown"], stdout=subprocess.PIPE, text=True, check=True).stdout
    names = re.findall(r"^  ([a-z]+) ", page[page.index("Commands:"):page.index("`fedra help COMMAND`")], re.MULTILINE)
    assert len(names) > 12, names
    for name in names:
        assert name == "help" or f"\n## fedra {name}" in page, f"`fedra help --markdown` says nothing of {name}"
    assert page.rstrip().endswith("```"), page[-200:]


def main():
    tap = Tap()
    tap.case("every_command_has_its_part", every_command_has_its_part)
    tap.case("the_protocol_tells_the_golden_stories", the_protocol_tells_the_golden_stories)
    tap.case("the_page_of_robust_rules_ends_with_their_table", the_page_of_robust_rules_ends_with_their_table)
    tap.finish()


main()
