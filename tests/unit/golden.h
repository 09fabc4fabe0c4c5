/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Golden files: what a test says, compared with what was found right before and is kept in tests/data.
 *
 * With PAGEVAULT_TEST_REGENERATE=1 the files are written instead: read the difference before it is committed.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Fails the test when the file @path below tests/data is not @text. */
void golden_assert (const char *path, const char *text);

typedef void (*GoldenFunc) (const char *name, const char *text);

/* Calls @func (whose @name has no ".xml") for each file NAME.xml of the folder @path below tests/data, in order of
 * names; for NAME-invalid.xml @invalid instead. Fails when there is none of either. */
void golden_foreach (const char *path, GoldenFunc func, GoldenFunc invalid);

G_END_DECLS
