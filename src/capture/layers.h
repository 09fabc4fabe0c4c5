/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvLayers: the images that a disk is made of, from one of them down to the last, and what tells that nobody has
 * changed one of them since: which file it is, its size, and when it was changed last.
 *
 * A snapshot remembers the layers of each disk as they were when all of them had been read. When a later chain has the
 * very same layers at its lower end, unchanged, then what shines through from there is what the snapshot has, and only
 * the layers above need to be read. Nothing else about those above is assumed: who made them and when does not matter.
 *
 * What cannot be known for certain counts as changed: a block device, an image of a format that keeps data in other
 * files. File systems tell time in steps of some milliseconds: of a file that was changed a moment ago nobody can say
 * whether it is changed again in the same moment, so only layers that have settled are worth remembering.
 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

typedef struct _PvLayers PvLayers;

/* The layers from @path down, as the images themselves say. NULL without @error: they are of a kind of which nothing
 * can be told. */
PvLayers *pv_layers_look (const char *path, const char *format, GError **error);
void pv_layers_free (PvLayers *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvLayers, pv_layers_free)

/* FALSE: one of them had been changed less than a quarter of a second before. */
gboolean pv_layers_settled (const PvLayers *self);
gboolean pv_layers_equal (const PvLayers *a, const PvLayers *b); /* both nullable: NULL is equal to none */
/* TRUE when @now are the very files that @then were, and nobody has written to one since. Unlike equal() it does not
 * mind that their owner or mode was changed, which libvirt does whenever a guest starts or ends. Both nullable. */
gboolean pv_layers_unwritten (const PvLayers *now, const PvLayers *then);
/* How many layers lie above those of @before in @self, or 0 when @before is not the unchanged lower end of @self, or
 * all of it. Both nullable. */
guint pv_layers_above (const PvLayers *self, const PvLayers *before);

/* Adds an array value. */
void pv_layers_write (const PvLayers *self, JsonBuilder *builder);
/* (nullable): NULL for what is not such an array. */
PvLayers *pv_layers_read (JsonNode *node);

G_END_DECLS
