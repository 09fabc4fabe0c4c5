/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "util/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/error.h"

typedef enum
{
  ACTION_FAIL,
  ACTION_ENOSPC,
  ACTION_KILL,
  ACTION_STOP,
  ACTION_SLEEP,
  ACTION_HOLD,
} Action;

enum
{
  HOLD_US = 5000, /* between two looks */
};

typedef struct
{
  GPatternSpec *pattern; /* (owned) */
  Action action;
  gulong milliseconds; /* of ACTION_SLEEP */
  char *file;          /* (owned) (nullable): of ACTION_HOLD */
  guint countdown;     /* passings until it acts; 0 = has acted */
} Fault;

static gint armed; /* 0 = nothing armed: the only thing looked at in production */
static GMutex lock;
static GArray *faults; /* of Fault; under lock */
static gboolean fired; /* under lock */

static gboolean
parse_fault (const char *spec, Fault *fault)
{
  g_auto(GStrv) parts = g_strsplit (spec, ":", 3);
  guint n = g_strv_length (parts);

  if (n < 2)
    return FALSE;
  fault->countdown = n == 3 ? (guint) strtoul (parts[2], NULL, 10) : 1;
  fault->milliseconds = 0;
  fault->file = NULL;
  if (g_str_equal (parts[1], "fail"))
    fault->action = ACTION_FAIL;
  else if (g_str_equal (parts[1], "enospc"))
    fault->action = ACTION_ENOSPC;
  else if (g_str_equal (parts[1], "kill"))
    fault->action = ACTION_KILL;
  else if (g_str_equal (parts[1], "stop"))
    fault->action = ACTION_STOP;
  else if (g_str_has_prefix (parts[1], "sleep="))
    {
      fault->action = ACTION_SLEEP;
      fault->milliseconds = strtoul (parts[1] + strlen ("sleep="), NULL, 10);
    }
  else if (g_str_has_prefix (parts[1], "hold="))
    {
      fault->action = ACTION_HOLD;
      fault->file = g_strdup (parts[1] + strlen ("hold="));
    }
  else
    return FALSE;
  fault->pattern = g_pattern_spec_new (parts[0]);
  return fault->countdown > 0;
}

static void
clear_fault (gpointer data)
{
  Fault *fault = data;

  g_pattern_spec_free (fault->pattern);
  g_free (fault->file);
}

static GArray *
faults_new (void)
{
  GArray *array = g_array_new (FALSE, FALSE, sizeof (Fault));

  g_array_set_clear_func (array, clear_fault);
  return array;
}

void
pv_fault_arm (const char *specs)
{
  g_auto(GStrv) parts = g_strsplit (specs, ",", -1);

  g_mutex_lock (&lock);
  if (faults == NULL)
    faults = faults_new ();
  for (guint i = 0; parts[i] != NULL; i++)
    {
      Fault fault;

      if (!parse_fault (parts[i], &fault))
        g_error ("PAGEVAULT_FAULT: '%s' is not POINT:ACTION[:NTH]", parts[i]);
      g_array_append_val (faults, fault);
    }
  g_atomic_int_set (&armed, 1);
  g_mutex_unlock (&lock);
}

static void
read_environment (void)
{
  const char *value = g_getenv ("PAGEVAULT_FAULT");

  if (value != NULL && *value != '\0')
    pv_fault_arm (value);
}

static void
hold (const char *file)
{
  if (!g_file_set_contents (file, "", 0, NULL))
    g_error ("PAGEVAULT_FAULT: cannot make '%s'", file);
  while (access (file, F_OK) == 0)
    g_usleep (HOLD_US);
}

static gboolean
act (const Fault *fault, const char *point, GError **error)
{
  switch (fault->action)
    {
    case ACTION_KILL:
      kill (getpid (), SIGKILL);
      return TRUE;
    case ACTION_STOP:
      kill (getpid (), SIGSTOP);
      return TRUE;
    case ACTION_SLEEP:
      g_usleep (fault->milliseconds * 1000);
      return TRUE;
    case ACTION_HOLD:
      hold (fault->file);
      return TRUE;
    case ACTION_ENOSPC:
      return pv_throw_errno (error, ENOSPC, "fault at %s", point);
    case ACTION_FAIL:
    default:
      return pv_throw_errno (error, EIO, "fault at %s", point);
    }
}

gboolean
pv_fault (const char *point, GError **error)
{
  static gsize environment_read;
  Fault acting = { 0 };
  g_autofree char *file = NULL; /* of acting: others may disarm meanwhile */
  gboolean acts = FALSE;

  if (g_once_init_enter (&environment_read))
    {
      read_environment ();
      g_once_init_leave (&environment_read, 1);
    }
  if (G_LIKELY (g_atomic_int_get (&armed) == 0))
    return TRUE;

  g_mutex_lock (&lock);
  for (guint i = 0; faults != NULL && i < faults->len && !acts; i++)
    {
      Fault *fault = &g_array_index (faults, Fault, i);

      if (fault->countdown == 0 || !g_pattern_spec_match_string (fault->pattern, point))
        continue;
      if (--fault->countdown == 0)
        {
          acting = *fault;
          acting.file = file = g_strdup (fault->file);
          acts = fired = TRUE;
        }
    }
  g_mutex_unlock (&lock);
  return !acts || act (&acting, point, error);
}

void
pv_fault_disarm (void)
{
  g_mutex_lock (&lock);
  g_clear_pointer (&faults, g_array_unref);
  g_atomic_int_set (&armed, 0);
  g_mutex_unlock (&lock);
}

void
pv_fault_arm_nth (const char *pattern, guint nth)
{
  Fault fault = { .action = ACTION_FAIL, .countdown = nth };

  g_return_if_fail (nth > 0);
  pv_fault_disarm ();
  g_mutex_lock (&lock);
  fault.pattern = g_pattern_spec_new (pattern);
  faults = faults_new ();
  g_array_append_val (faults, fault);
  fired = FALSE;
  g_atomic_int_set (&armed, 1);
  g_mutex_unlock (&lock);
}

gboolean
pv_fault_fired (void)
{
  gboolean result;

  g_mutex_lock (&lock);
  result = fired;
  g_mutex_unlock (&lock);
  return result;
}
