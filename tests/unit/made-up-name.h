/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names as good as random: for tests and benches of the index. */
#pragma once

#include <string.h>

#include "chunk/name.h"

/* The same one for the same number. */
static inline PvName
make_name (guint64 number)
{
  PvName name;

  for (guint i = 0; i < 4; i++)
    {
      guint64 x = (number * 4 + i + 1) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

      x = (x ^ (x >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
      x = (x ^ (x >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
      x ^= x >> 31;
      memcpy (name.bytes + 8 * i, &x, 8);
    }
  return name;
}
