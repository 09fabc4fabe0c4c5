/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/pack-source.h"

static void
give_pack (guint32 number, PvIndexTakeFunc take, gpointer take_data, gpointer data)
{
  g_autoptr(GError) why = NULL;
  g_autoptr(PvPackTable) pack = pv_object_reader_table (data, number, &why);

  for (guint32 i = 0; pack != NULL && i < pv_pack_table_n_frames (pack); i++)
    {
      PvPackFrame frame;

      if (!pv_pack_table_frame (pack, i, &frame, &why))
        break;
      for (guint32 slot = 0; slot < frame.n_slots; slot++)
        {
          PvIndexEntry entry = { frame.names[slot], { number, i, slot } };

          take (&entry, 1, take_data);
        }
    }
  if (why != NULL) /* whoever needs an object of it will hear */
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
