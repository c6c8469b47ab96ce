#!/bin/sh
# zig-tool.sh TOOL ARGUMENT…: Zig's clang, ar or ranlib as CMake calls a compiler (scripts/prebuild/zig.mjs writes a small program for each).
# DROPSTREAM_ZIG is the zig program, DROPSTREAM_ZIG_TARGET the target with its C library, DROPSTREAM_ZIG_CPU the processor to begin with.
#
# Zig tells clang every feature of a processor after our options, so that -mavx2 alone would have no effect: such options become part of -mcpu.
set -eu
tool=$1
shift
case $tool in cc | c++) ;; *) exec "$DROPSTREAM_ZIG" "$tool" "$@" ;; esac
cpu=$DROPSTREAM_ZIG_CPU
for argument do
  shift
  case $argument in
    -march=armv8.2-a+*) cpu="$cpu+v8_2a+${argument#-march=armv8.2-a+}" ;;
    -mprefer-vector-width=* | -march=* | -mcpu=*) set -- "$@" "$argument" ;;
    # Clang 18 to 21 give 512 bits a name of their own.
    -mavx512f) cpu="$cpu+avx512f+evex512" ;;
    -m[a-z]*) cpu="$cpu+$(echo "${argument#-m}" | tr - _)" ;;
    # Zig's linker does not know it; all that these libraries contain is hidden anyway.
    -Wl,--exclude-libs,ALL) ;;
    *) set -- "$@" "$argument" ;;
  esac
done
exec "$DROPSTREAM_ZIG" "$tool" -target "$DROPSTREAM_ZIG_TARGET" "-mcpu=$cpu" "$@"
