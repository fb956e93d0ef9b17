cd /work/h_kern
clang-format-19 -i src/kern/*.[ch] tests/unit/kern/*.c bench/*.c
python3 tools/check_style; python3 tools/check_layers
ninja -C build -j2 tests/unit/kern/kern_test tests/unit/kern/kern_rows_test tests/unit/kern/kern_gram_test 2>&1 | grep -v "^\[" | head -${1:-30}
meson test -C build --no-rebuild kern kern_rows kern_gram 2>&1 | grep -E "^[0-9]|FAIL|not ok"
grep -hE "not ok|says|expected|rror" -A4 build/meson-logs/testlog.txt | grep -v "^ok" | head -20
