/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/pack-source.h"

static gboolean
give_table (const PvPackTable *table, guint32 number, PvIndexTakeFunc take, gpointer take_data, GError **error)
{
  for (guint32 i = 0; i < pv_pack_table_n_frames (table); i++)
    {
      PvPackFrame frame;

      if (!pv_pack_table_frame (table, i, &frame, error))
        return FALSE;
      for (guint32 slot = 0; slot < frame.n_slots; slot++)
        {
          PvIndexEntry entry = { frame.names[slot], { number, i, slot } };

          take (&entry, 1, take_data);
        }
    }
  return TRUE;
}

static void
give_pack (guint32 number, PvIndexTakeFunc take, gpointer take_data, gpointer data)
{
  g_autoptr(GError) why = NULL;
  g_autoptr(PvPackTable) table = pv_object_reader_table (data, number, &why);

  if (table == NULL || !give_table (table, number, take, take_data, &why)) /* whoever needs an object of it will hear */
    g_debug ("pack number %u cannot be read ahead: %s", number, why->message);
}

void
pv_pack_source_attach (PvIndex *index, PvObjectReader *reader)
{
  pv_index_set_pack_source (index, give_pack, reader);
}

void
pv_pack_source_detach (PvIndex *index)
{
  pv_index_set_pack_source (index, NULL, NULL);
}

static void
append (const PvIndexEntry *entries, gsize n, gpointer data)
{
  g_array_append_vals (data, entries, (guint) n);
}

gboolean
pv_pack_source_list (PvIndexWriter *writer, const PvName *name, guint64 size, const PvPackTable *table, GError **error)
{
  g_autoptr(GArray) entries = g_array_new (FALSE, FALSE, sizeof (PvIndexEntry));
  guint32 number;

  return pv_index_writer_add_pack (writer, name, size, pv_pack_table_n_objects (table), &number, error)
         && give_table (table, number, append, entries, error)
         && pv_index_writer_add (writer, (const PvIndexEntry *) entries->data, entries->len, error);
}
