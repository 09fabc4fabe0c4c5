/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "util/helper-program.h"

#include <signal.h>
#include <unistd.h>

char *
pv_helper_program_find (const char *name, const char *variable, const char *const *places)
{
  const char *told = g_getenv (variable);
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *directory = self != NULL ? g_path_get_dirname (self) : NULL;

  if (told != NULL && *told != '\0')
    return g_strdup (told);
  for (guint i = 0; directory != NULL && places[i] != NULL; i++)
    {
      g_autofree char *path = g_build_filename (directory, places[i], name, NULL);

      if (g_file_test (path, G_FILE_TEST_IS_EXECUTABLE))
        return g_steal_pointer (&path);
    }
  return g_build_filename (PV_LIBEXECDIR, name, NULL);
}

void
pv_helper_program_leave_session (gpointer data)
{
  sigset_t none;

  setsid ();
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
}
