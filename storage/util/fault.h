/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Named fault points: places where a test makes pagevault fail, or die, on purpose.
 *
 * Disarmed (always, outside tests) a point costs one load. PAGEVAULT_FAULT arms points in a whole process:
 *
 *   PAGEVAULT_FAULT=POINT:ACTION[:NTH][,...]      ACTION = fail | enospc | kill | stop | sleep=MILLISECONDS | hold=FILE
 *
 * "hold" makes FILE and goes on when somebody has removed it: meanwhile a test can do things to the world.
 * NTH (default 1) is the passing of the point at which it acts, once; POINT may end in '*'. A unit test instead arms
 * "the n-th passing of any point" and counts n up until nothing fails any more.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Names a step, like "pack.publish.before-rename". TRUE: go on. FALSE: the test wants this step to fail, @error is set.
 * Any thread. */
gboolean pv_fault (const char *point, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Makes the @nth (from 1) passing of any point whose name matches @pattern ("*" for all) from now on fail with EIO. */
void pv_fault_arm_nth (const char *pattern, guint nth);
/* Arms what PAGEVAULT_FAULT would: for a test that has forked. */
void pv_fault_arm (const char *faults);
void pv_fault_disarm (void);
/* TRUE when the armed fault has acted. */
gboolean pv_fault_fired (void);

G_END_DECLS
