/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/bytesize.h"

#define REDRAW_INTERVAL (G_USEC_PER_SEC / 10)
#define BAR_WIDTH 20

struct _PvProgress
{
  GMutex lock;
  gboolean terminal;
  gboolean drawn;      /* under lock */
  char *phase;         /* (owned) (nullable), under lock */
  gint64 phase_start;  /* monotonic microseconds, under lock */
  gint64 last_draw;    /* monotonic microseconds, under lock */
};

PvProgress *
pv_progress_new (void)
{
  PvProgress *self = g_new0 (PvProgress, 1);
  const char *term = g_getenv ("TERM");

  g_mutex_init (&self->lock);
  self->terminal = isatty (STDERR_FILENO) && g_strcmp0 (term, "dumb") != 0;
  return self;
}

void
pv_progress_free (PvProgress *self)
{
  if (self->drawn)
    {
      fputs ("\r\033[K", stderr);
      fflush (stderr);
    }
  g_free (self->phase);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static void
append_bar (GString *line, double part)
{
  guint filled = (guint) (part * BAR_WIDTH);

  g_string_append (line, "  [");
  for (guint i = 0; i < BAR_WIDTH; i++)
    g_string_append_c (line, i < filled ? '#' : '.');
  g_string_append_printf (line, "] %3.0f%%", part * 100);
}

static void
append_time_left (GString *line, double seconds)
{
  guint64 left = (guint64) (seconds + 0.5);

  if (left >= 3600)
    g_string_append_printf (line, "  %" G_GUINT64_FORMAT ":%02u:%02u left", left / 3600, (guint) (left / 60 % 60),
                            (guint) (left % 60));
  else
    g_string_append_printf (line, "  %u:%02u left", (guint) (left / 60), (guint) (left % 60));
}

char *
pv_progress_render (const char *phase, guint64 done, guint64 total, double seconds, guint width)
{
  g_autoptr(GString) line = g_string_new (phase);
  g_autofree char *done_text = pv_bytesize_format (done);
  double rate = seconds > 0 ? (double) done / seconds : 0;

  done = total > 0 ? MIN (done, total) : done;
  if (total > 0)
    {
      g_autofree char *total_text = pv_bytesize_format (total);

      append_bar (line, (double) done / (double) total);
      g_string_append_printf (line, "  %s of %s", done_text, total_text);
    }
  else
    g_string_append_printf (line, "  %s", done_text);
  if (seconds >= 0.5 && rate >= 1)
    {
      g_autofree char *rate_text = pv_bytesize_format ((guint64) rate);

      g_string_append_printf (line, "  %s/s", rate_text);
      if (total > done)
        append_time_left (line, (double) (total - done) / rate);
    }
  if (g_utf8_strlen (line->str, -1) > (glong) width)
    g_string_truncate (line, (gsize) (g_utf8_offset_to_pointer (line->str, (glong) width) - line->str));
  return g_string_free (g_steal_pointer (&line), FALSE);
}

static guint
terminal_width (void)
{
  struct winsize size;

  if (ioctl (STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1)
    return size.ws_col - 1u;
  return 79;
}

void
pv_progress_update (const char *phase, guint64 done, guint64 total, gpointer data)
{
  PvProgress *self = data;
  g_autofree char *line = NULL;
  gint64 now;

  if (self == NULL || !self->terminal)
    return;
  now = g_get_monotonic_time ();
  g_mutex_lock (&self->lock);
  if (g_strcmp0 (self->phase, phase) != 0)
    {
      g_free (self->phase);
      self->phase = g_strdup (phase);
      self->phase_start = now;
      self->last_draw = 0;
    }
  if (now - self->last_draw >= REDRAW_INTERVAL)
    {
      self->last_draw = now;
      line = pv_progress_render (phase, done, total, (double) (now - self->phase_start) / G_USEC_PER_SEC,
                                 terminal_width ());
      fprintf (stderr, "\r%s\033[K", line);
      fflush (stderr);
      self->drawn = TRUE;
    }
  g_mutex_unlock (&self->lock);
}
