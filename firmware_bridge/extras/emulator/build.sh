#!/bin/sh
# Build the emulator, or a program for the emulated Uno.
#
#   build.sh emulator FOLDER                     -> FOLDER/uno
#   build.sh sketch FOLDER SKETCH.ino [FLAG...]  -> FOLDER/SKETCH.elf, with the real Arduino core (FOLDER/core.a)
#   build.sh program FOLDER FILE.c [FLAG...]     -> FOLDER/FILE.elf, without Arduino
#
# Debian: gcc libc6-dev libsimavr-dev libelf-dev; gcc-avr avr-libc arduino-core-avr. ARDUINO_AVR names another
# folder of the core. The options are those of the Arduino IDE.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
library=$here/../../src
arduino=${ARDUINO_AVR:-/usr/share/arduino/hardware/arduino/avr}
target="-mmcu=atmega328p -DF_CPU=16000000UL"
size="-Os -flto -fno-fat-lto-objects -ffunction-sections -fdata-sections"
board="-DARDUINO=10819 -DARDUINO_AVR_UNO -DARDUINO_ARCH_AVR -DDECIMAL_DIG=__DECIMAL_DIG__
    -I$arduino/cores/arduino -I$arduino/variants/standard -I$arduino/libraries/SPI/src"

what=$1
out=$2
mkdir -p "$out"

core() {
    [ -e "$out/core.a" ] && return
    mkdir -p "$out/core"
    for file in "$arduino"/cores/arduino/*.c "$arduino"/cores/arduino/*.S; do
        avr-gcc -c $target $size -std=gnu11 -w $board -x "$(language "$file")" "$file" -o "$out/core/${file##*/}.o"
    done
    for file in "$arduino"/cores/arduino/*.cpp "$arduino"/libraries/SPI/src/*.cpp; do
        avr-g++ -c $target $size -std=gnu++11 -fno-exceptions -fno-threadsafe-statics -w $board \
            "$file" -o "$out/core/${file##*/}.o"
    done
    avr-gcc-ar rcs "$out/core.a" "$out"/core/*.o
}

language() {
    case $1 in *.S) echo assembler-with-cpp ;; *) echo c ;; esac
}

case $what in
emulator)
    gcc -std=gnu11 -O2 -Wall -Wextra -Werror -I/usr/include/simavr "$here"/*.c -o "$out/uno" \
        -lsimavr -lelf -lutil -lm
    ;;
sketch)
    sketch=$3
    name=$(basename "$sketch" .ino)
    shift 3
    core
    { echo '#include <Arduino.h>'; echo "#line 1 \"$sketch\""; cat "$sketch"; } >"$out/$name.cpp"
    avr-g++ -c $target $size -std=gnu++11 -fno-exceptions -fno-threadsafe-statics -Wall -Wextra -Werror \
        $board -I"$library" "$@" "$out/$name.cpp" -o "$out/$name.o"
    avr-gcc $target $size -std=c99 -Wall -Wextra -Werror -I"$library" "$@" "$out/$name.o" "$library"/*.c \
        "$out/core.a" -fuse-linker-plugin -Wl,--gc-sections -lm -o "$out/$name.elf"
    ;;
program)
    program=$3
    name=$(basename "$program" .c)
    shift 3
    avr-gcc $target $size -std=gnu99 -Wall -Wextra -Werror -I"$library" "$@" "$program" "$library"/*.c \
        -fuse-linker-plugin -Wl,--gc-sections -o "$out/$name.elf"
    ;;
*)
    echo "unknown: $what" >&2
    exit 2
    ;;
esac
