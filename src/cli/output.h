/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What commands print on standard output: tables for people, JSON for programs.
 *
 * Cells and members are UTF-8; control characters in cells are made visible.
 */
#pragma once

#include "virt/json-members.h"

G_BEGIN_DECLS

/* --- tables ------------------------------------------------------------------------------------------------------ */

typedef enum
{
  PV_COLUMN_LEFT,
  PV_COLUMN_RIGHT, /* numbers */
  PV_COLUMN_WRAP,  /* prose: folded at the terminal's width */
} PvColumnStyle;

typedef struct
{
  const char *heading; /* NULL in all columns: no headings */
  PvColumnStyle style;
} PvColumn;

typedef struct _PvTable PvTable;

PvTable *pv_table_new (const PvColumn *columns, guint n_columns);
/* A table of keys and values without headings. */
PvTable *pv_table_new_pairs (void);
void pv_table_free (PvTable *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvTable, pv_table_free)

/* Adds a row of strings, NULL at the end (fewer than columns: the rest is empty). */
void pv_table_row (PvTable *self, ...) G_GNUC_NULL_TERMINATED;
void pv_table_print (PvTable *self);

/* --- texts ------------------------------------------------------------------------------------------------------- */

/* (transfer full): "2026-11-21 08:51:22", local time. @time: microseconds since 1970. */
char *pv_output_time (gint64 time);
/* (transfer full): "3.2 ms", "4.1 s", "12:03" (minutes and seconds). @ms: >= 0. */
char *pv_output_duration (double ms);

/* --- JSON -------------------------------------------------------------------------------------------------------- */

/* Prints the finished document and a newline. */
void pv_json_print (JsonBuilder *builder);

G_END_DECLS
