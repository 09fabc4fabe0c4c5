/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs of pagevault that its commands start and that outlive them: the guardian of captures, the pager of
 * restores. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* (transfer full): where the program @name is: what the environment variable @variable says; else the first of @places
 * (NULL-terminated, relative to the directory of the running program: a build that is not installed) that has it; else
 * where it is installed, whether it is there or not. */
char *pv_helper_program_find (const char *name, const char *variable, const char *const *places);

/* A GSpawnChildSetupFunc: what ends the starter's session, process group or terminal does not reach the child. */
void pv_helper_program_leave_session (gpointer data);

G_END_DECLS
