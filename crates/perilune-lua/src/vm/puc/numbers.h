/*
** How Lua reads and writes numbers. Given to the compiler before each of Lua's files by build.rs; the
** functions are in numbers.rs. Lua's own macros for it can't be defined from outside, so what they stand
** for is: C's strtod, and sprintf of a double.
*/
#include <stdio.h>
#include <stdlib.h>

double perilune_read_number(const char *text, char **end);
int perilune_write_number(char *text, const char *format, double number);

#define strtod perilune_read_number
#define sprintf(text, format, value) \
  _Generic((value), double: perilune_write_number, default: sprintf)((text), (format), (value))
