#!/bin/sh
# The agent of the demo: a script in the place of `claude -p`. It does each role's work for one small work item, a discount
# for a basket, and its developer gets it wrong the first time. What it says it cost is made up.
prompt=$(cat)
artifact=$(printf '%s\n' "$prompt" | sed -n 's/.*[Oo]ne file, `\([^`]*\)`.*/\1/p' | head -n 1)
stage=$(printf '%s\n' "$prompt" | sed -n 's/.*stage `\([^`]*\)`.*/\1/p' | head -n 1)
reports=$(dirname "$artifact")
mkdir -p "$reports"

# draft KEY WORD SUMMARY TEXT
draft() {
    printf -- '---\n%s: %s\nsummary: "%s"\n---\n\n# %s\n\n%s\n' "$1" "$2" "$3" "$3" "$4" > "$artifact"
}

cost=0.02
case $stage in
analysis)
    draft result PASS "A basket needs a discount" "total() takes a discount in percent, 0 by default."
    ;;
architecture)
    draft result PASS "One parameter more" "total(prices, discount=0), in basket.py; nothing else changes."
    ;;
development)
    cost=0.11
    sign='+'
    what="A discount, and a test for it"
    if grep -qs '^result: FAIL' "$reports/13-test-report.md"; then
        sign='-'
        what="The sign of the discount turned around, as the test report says"
    fi
    printf 'def total(prices, discount=0):\n    return sum(prices) * (100 %s discount) / 100\n' "$sign" > basket.py
    printf 'from basket import total\n\n\ndef test_a_discount_makes_it_cheaper():\n    assert total([100], discount=20) == 80\n' > test_discount.py
    draft result PASS "$what" "basket.py and test_discount.py."
    ;;
review)
    cost=0.05
    draft verdict PASS "It does what the analysis asks" "One function, one test; nothing to say against it."
    ;;
deploy)
    draft deploy_status SUCCESS "Deployed" "A real deployer would have deployed; this one only says so."
    ;;
*)
    printf 'no script for the stage %s\n' "$stage" >&2
    exit 3
    ;;
esac
printf '{"type":"result","subtype":"success","is_error":false,"result":"done","total_cost_usd":%s,"usage":{"input_tokens":1200,"output_tokens":300}}\n' "$cost"
