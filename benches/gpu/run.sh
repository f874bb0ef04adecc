#!/bin/sh
# Measures druse on one device: what it is, whether it computes the same as the CPU, how fast it trains and samples.
# Needs a druse binary built for the device, a POSIX shell, awk, and nothing else. See README.md beside this file.
set -eu

usage() {
    cat <<'TEXT'
usage: run.sh --device NAME [options]

  --device NAME        cuda, cuda:1, rocm, vulkan, metal, webgpu, cpu
  --druse PATH         the program [default: druse]
  --out DIR            folder for the results; must not exist [default: gpu-DEVICE]
  --peak-tflops X      the device's peak in 32-bit matrix products, 10^12 operations per second, for the share of it
  --preset NAME        configuration [default: gemsdiff-paper]
  --data PATH          data set to take batches from [default: perovskites of five atoms]
  --parity FILE        reference file of `druse parity` (the published network), compared on the device
  --sizes "8 32 ..."   batch sizes [default: 8 32 128 512 1024 4096]
  --seconds S          seconds for each measurement [default: 3]
  --tolerance X        largest relative difference between the losses of device and CPU [default: 1e-3]
  --set KEY=VALUE      a value of the configuration; repeatable
TEXT
}

fail() {
    echo "error: $1" >&2
    exit "${2:-1}"
}

druse=druse device='' out='' peak='' preset=gemsdiff-paper data='' parity='' sizes='8 32 128 512 1024 4096'
seconds=3 tolerance=1e-3 settings=''
newline='
'
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage && exit 0 ;;
        --device | --druse | --out | --peak-tflops | --preset | --data | --parity | --sizes | --seconds | --tolerance | --set) ;;
        *) usage >&2 && fail "unknown argument $1" 2 ;;
    esac
    [ $# -ge 2 ] || fail "$1 needs a value" 2
    case $1 in
        --device) device=$2 ;;
        --druse) druse=$2 ;;
        --out) out=$2 ;;
        --peak-tflops) peak=$2 ;;
        --preset) preset=$2 ;;
        --data) data=$2 ;;
        --parity) parity=$2 ;;
        --sizes) sizes=$2 ;;
        --seconds) seconds=$2 ;;
        --tolerance) tolerance=$2 ;;
        --set) settings="$settings--set$newline$2$newline" ;;
    esac
    shift 2
done
[ -n "$device" ] || { usage >&2 && fail "--device is missing" 2; }
command -v "$druse" >/dev/null 2>&1 || fail "no program $druse; name one with --druse" 2
[ -n "$out" ] || out=gpu-$(echo "$device" | tr ':' '-')
[ ! -e "$out" ] || fail "$out exists" 2
mkdir -p "$out"
lines=$out/results.jsonl table=$out/results.md log=$out/log.txt

# Calls druse with the settings, whose values may contain spaces.
configured() {
    old_ifs=$IFS
    IFS=$newline
    # Word splitting at line breaks is wanted; names with wildcards are not.
    set -f
    # shellcheck disable=SC2086
    set -- "$@" --preset "$preset" $settings
    set +f
    IFS=$old_ifs
    "$druse" "$@"
}

# One number of one section of a report: value FILE SECTION KEY; nothing when it is absent.
value() {
    awk -v section="$2" -v key="$3" '
        /^  "[a-z_]*": \{/ { split($0, part, "\""); inside = (part[2] == section); next }
        /^  }/ { inside = 0 }
        inside { split($0, part, "\""); if (part[2] == key) { sub(/.*: /, ""); sub(/,$/, ""); print; exit } }
    ' "$1"
}

# calculate EXPRESSION, with nothing when an operand was absent.
calculate() {
    case $1 in
        *'()'*) ;;
        *) awk "BEGIN { printf \"%.6g\", $1 }" ;;
    esac
}

record() { printf '%s\n' "$1" >>"$lines"; }
row() { printf '%s\n' "$1" >>"$table"; }
quoted() { printf '%s' "$1" | tr '\n\t' '  ' | sed 's/\\/\\\\/g; s/"/\\"/g'; }

# --- the device
version=$("$druse" --version)
system=$(uname -srm)
gpu=''
if command -v nvidia-smi >/dev/null 2>&1; then
    gpu=$(nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader 2>/dev/null) || gpu=''
fi
echo "$version on $device ($system) ${gpu:+[$gpu]}" >&2
record "{\"kind\": \"device\", \"device\": \"$device\", \"druse\": \"$(quoted "$version")\", \"system\": \"$(quoted "$system")\", \"gpu\": \"$(quoted "$gpu")\"}"
row "# $version on \`$device\`"
row ''
row "$system${gpu:+; $gpu}; preset \`$preset\`${data:+, batches from $data}"
row ''

# --- does it compute the same?
passed=true
row '| check | result |'
row '| --- | --- |'
if [ -n "$parity" ]; then
    echo "parity with the published network" >&2
    if "$druse" parity "$parity" --device "$device" --tolerance 1e-3 >"$out/parity.txt" 2>>"$log"; then ok=true; else ok=false passed=false; fi
    worst=$(awk '/^largest:/ { print $2 }' "$out/parity.txt")
    record "{\"kind\": \"parity\", \"passed\": $ok, \"largest_relative_difference\": ${worst:-null}}"
    row "| parity with the published network, largest relative difference | ${worst:-failed} |"
fi
echo "losses of the same steps on the CPU and on $device" >&2
train_data=$data
if [ -z "$train_data" ]; then
    "$druse" sample --formula SrTiO3 --count 8 --format jsonl --out "$out/structures" >>"$log" 2>&1 || fail "cannot sample structures to train on, see $log"
    train_data=$out/structures/structures.jsonl
fi
losses() {
    configured train --data "$train_data" --device "$1" --out "$out/train-$2" --set train.epochs=2 --set train.batch_size=4 \
        --set data.limit=8 --set optim.warmup_steps=0 --quiet >>"$log" 2>&1 || fail "training on $1 failed, see $log"
    sed -n 's/.*"kind":"step".*"loss":\([-0-9.e+]*\),.*/\1/p' "$out/train-$2/metrics.jsonl" >"$out/losses-$2.txt"
}
losses cpu cpu
losses "$device" device
# The first step is computed from equal weights; later ones follow what the optimiser made of rounding errors.
difference=$(paste "$out/losses-cpu.txt" "$out/losses-device.txt" | awk 'NR == 1 { d = ($1 - $2) / $1; print d < 0 ? -d : d }')
later=$(paste "$out/losses-cpu.txt" "$out/losses-device.txt" | awk '{ d = ($1 - $2) / $1; if (d < 0) d = -d; if (d > m) m = d } END { print m + 0 }')
[ -n "$difference" ] || fail "the training runs left no losses"
ok=$(awk "BEGIN { print ($difference <= $tolerance) ? \"true\" : \"false\" }")
[ "$ok" = true ] || passed=false
record "{\"kind\": \"loss\", \"passed\": $ok, \"relative_difference\": $difference, \"largest_of_all_steps\": $later}"
row "| loss of the first step against the CPU, relative difference | $difference |"
row "| the same, largest of all steps | $later |"
row ''

# --- how fast is it?
set -- ${data:+--data "$data"}
operations_train='' operations_sample=''
if [ -n "$peak" ]; then
    # Operations are counted where products are run by hand: on the CPU, per structure, on a small batch.
    if configured bench train sample --device cpu --batch-size 8 --seconds 0 --json "$@" >"$out/operations.json" 2>>"$log"; then
        operations_train=$(calculate "($(value "$out/operations.json" train product_gflop)) / 8")
        operations_sample=$(calculate "($(value "$out/operations.json" sample product_gflop)) / 8")
    fi
fi
if [ -n "$peak" ]; then
    row "Share: operations of the matrix products over time and the given peak of $peak TFLOP/s."
else
    row 'No share of the peak: no peak was given (--peak-tflops).'
fi
row ''
row '| batch | training: structures/s | ms a step | share | sampling: structures/s | ms a step | share |'
row '| --- | --- | --- | --- | --- | --- | --- |'
for size in $sizes; do
    echo "batch $size" >&2
    report=$out/bench-$size.json
    if ! configured bench train sample --device "$device" --batch-size "$size" --seconds "$seconds" --json "$@" >"$report" 2>>"$log"; then
        record "{\"kind\": \"bench\", \"batch\": $size, \"failed\": true}"
        row "| $size | failed, see log.txt | | | | | |"
        passed=false
        continue
    fi
    record "{\"kind\": \"bench\", \"batch\": $size, \"report\": $(tr -d '\n' <"$report")}"
    share() { # share SECTION GFLOP_PER_STRUCTURE
        percent=$(calculate "100 * ($2) * $size / ($(value "$report" "$1" seconds)) / 1000 / (${peak})")
        printf '%s' "${percent:+$percent %}"
    }
    rate_train=$(calculate "($(value "$report" train structures_per_second))")
    rate_sample=$(calculate "($(value "$report" sample structures_per_second)) / ($(value "$report" sample sampling_steps))")
    ms_train=$(calculate "1000 * ($(value "$report" train seconds))")
    ms_sample=$(calculate "1000 * ($(value "$report" sample seconds))")
    row "| $size | $rate_train | $ms_train | $(share train "$operations_train") | $rate_sample | $ms_sample | $(share sample "$operations_sample") |"
done
row ''
row "All checks and measurements succeeded: $passed."
record "{\"kind\": \"end\", \"passed\": $passed}"
echo "results: $table, $lines" >&2
[ "$passed" = true ]
