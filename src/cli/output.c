/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/output.h"

#include <libsmartcols.h>
#include <stdarg.h>
#include <stdio.h>

struct _PvTable
{
  struct libscols_table *table; /* (owned) */
  guint n_columns;
};

PvTable *
pv_table_new (const PvColumn *columns, guint n_columns)
{
  PvTable *self = g_new0 (PvTable, 1);
  gboolean headings = FALSE;

  self->n_columns = n_columns;
  self->table = scols_new_table ();
  g_assert (self->table != NULL);
  for (guint i = 0; i < n_columns; i++)
    {
      int flags = columns[i].style == PV_COLUMN_RIGHT  ? SCOLS_FL_RIGHT
                  : columns[i].style == PV_COLUMN_WRAP ? SCOLS_FL_WRAP
                                                       : 0;
      struct libscols_column *column
        = scols_table_new_column (self->table, columns[i].heading != NULL ? columns[i].heading : "", 0, flags);

      g_assert (column != NULL);
      headings |= columns[i].heading != NULL;
    }
  scols_table_enable_noheadings (self->table, !headings);
  return self;
}

PvTable *
pv_table_new_pairs (void)
{
  static const PvColumn columns[] = { { NULL, PV_COLUMN_LEFT }, { NULL, PV_COLUMN_WRAP } };
  PvTable *self = pv_table_new (columns, G_N_ELEMENTS (columns));

  scols_table_set_column_separator (self->table, "  ");
  return self;
}

void
pv_table_free (PvTable *self)
{
  scols_unref_table (self->table);
  g_free (self);
}

void
pv_table_row (PvTable *self, ...)
{
  struct libscols_line *line = scols_table_new_line (self->table, NULL);
  const char *cell;
  va_list args;

  g_assert (line != NULL);
  va_start (args, self);
  for (guint i = 0; (cell = va_arg (args, const char *)) != NULL && i < self->n_columns; i++)
    {
      int result = scols_line_set_data (line, i, cell);

      g_assert (result == 0);
    }
  va_end (args);
}

void
pv_table_print (PvTable *self)
{
  if (scols_table_get_nlines (self->table) == 0)
    return;
  scols_print_table (self->table);
}

char *
pv_output_time (gint64 time)
{
  g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc (time / G_USEC_PER_SEC);
  g_autoptr(GDateTime) local = utc != NULL ? g_date_time_to_local (utc) : NULL;

  return local != NULL ? g_date_time_format (local, "%Y-%m-%d %H:%M:%S") : g_strdup ("?");
}

char *
pv_output_duration (double ms)
{
  guint64 seconds = (guint64) (ms / 1000 + 0.5);

  if (ms < 1000)
    return g_strdup_printf ("%.1f ms", ms);
  if (seconds < 60)
    return g_strdup_printf ("%.1f s", ms / 1000);
  return g_strdup_printf ("%" G_GUINT64_FORMAT ":%02u", seconds / 60, (guint) (seconds % 60));
}

void
pv_json_print (JsonBuilder *builder)
{
  g_autofree char *text = pv_json_text (builder, TRUE);

  puts (text);
}
