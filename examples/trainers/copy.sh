#!/bin/sh
# copy.sh - the smallest trainer there is: it copies the model it gets. Needs a shell, cp and sed.
#
#   fedra trainer check examples/trainers/copy.sh
#
# Nothing is learnt; it shows the protocol of docs/trainer.md without a library for JSON. A trainer of your own should
# use one: that the values hold no quotes, which `member` relies on, is true of Fedra's lines but for odd folder names.

member() { # member KEY LINE: its value
    printf '%s\n' "$2" | sed 's/.*"'"$1"'":"\{0,1\}\([^",}]*\).*/\1/'
}

while IFS= read -r line; do
    case $(member type "$line") in
    hello) echo '{"type":"ready","protocol":1,"name":"copy"}' ;;
    train)
        id=$(member id "$line")
        if cp "$(member model "$line")" "$(member output "$line")"; then
            echo '{"type":"trained","id":'"$id"',"samples":1,"loss":0}'
        else
            echo '{"type":"failed","id":'"$id"',"reason":"cp failed"}'
        fi
        ;;
    esac
done
