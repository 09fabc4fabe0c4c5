/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/layers.h"

#include <gio/gio.h>
#include <sys/stat.h>

#include "util/error.h"

enum
{
  STEP_US = 250 * 1000, /* file systems tell time more finely than this */
  MAX_LAYERS = 1000,
};

/* A file that has the same numbers has the same content, unless somebody sets the clock back and the time exactly. */
typedef struct
{
  gint64 device, inode, size, modified_ns, changed_ns;
} Layer;

struct _PvLayers
{
  GArray *layers;   /* (owned) (element-type Layer): the uppermost first; not empty */
  gboolean settled; /* none was changed in the moment before it was looked at */
};

static const char *const members[] = { "device", "inode", "size", "modified_ns", "changed_ns" };

static void
layer_numbers (Layer *layer, gint64 *numbers[G_N_ELEMENTS (members)])
{
  numbers[0] = &layer->device;
  numbers[1] = &layer->inode;
  numbers[2] = &layer->size;
  numbers[3] = &layer->modified_ns;
  numbers[4] = &layer->changed_ns;
}

static PvLayers *
layers_new (void)
{
  PvLayers *self = g_new0 (PvLayers, 1);

  self->layers = g_array_new (FALSE, TRUE, sizeof (Layer));
  self->settled = TRUE;
  return self;
}

void
pv_layers_free (PvLayers *self)
{
  if (self == NULL)
    return;
  g_array_unref (self->layers);
  g_free (self);
}

/* --- looking ----------------------------------------------------------------------------------- */

static gint64
nanoseconds (const struct timespec *time)
{
  return (gint64) time->tv_sec * G_GINT64_CONSTANT (1000000000) + time->tv_nsec;
}

/* FALSE when the file cannot tell whether it changes. */
static gboolean
look_at_file (const char *path, Layer *layer)
{
  struct stat st;

  if (stat (path, &st) < 0 || !S_ISREG (st.st_mode))
    return FALSE;
  *layer = (Layer){
    .device = (gint64) st.st_dev,
    .inode = (gint64) st.st_ino,
    .size = st.st_size,
    .modified_ns = nanoseconds (&st.st_mtim),
    .changed_ns = nanoseconds (&st.st_ctim),
  };
  return TRUE;
}

/* Whether all that the image holds lies in the one file. */
static gboolean
is_whole (JsonObject *image)
{
  const char *format = json_object_get_string_member_with_default (image, "format", "");
  JsonNode *specific = json_object_get_member (image, "format-specific");
  JsonObject *data;

  if (g_str_equal (format, "raw"))
    return TRUE;
  if (!g_str_equal (format, "qcow2") || specific == NULL || !JSON_NODE_HOLDS_OBJECT (specific))
    return FALSE;
  data = json_object_get_object_member (json_node_get_object (specific), "data");
  return data != NULL && !json_object_has_member (data, "data-file");
}

/* By qemu-img, as qemu-nbd will read them. (nullable): with @error only when it fails. */
static JsonNode *
ask_qemu_img (const char *path, const char *format, GError **error)
{
  g_autoptr(GSubprocess) process = NULL;
  g_autoptr(GError) local = NULL;
  g_autofree char *out = NULL;
  g_autofree char *err = NULL;
  JsonNode *answer = NULL;

  process = g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE, &local, "qemu-img",
                              "info", "--force-share", "--output=json", "--backing-chain", "-f", format, "--", path,
                              NULL);
  if (process == NULL || !g_subprocess_communicate_utf8 (process, NULL, NULL, &out, &err, &local))
    pv_throw (error, PV_ERROR_FAILED, "cannot run qemu-img (install qemu-utils): %s", local->message);
  else if (!g_subprocess_get_successful (process))
    pv_throw (error, PV_ERROR_FAILED, "cannot look at the layers of '%s': %s", path,
              g_strdelimit (g_strstrip (err), "\n", ' '));
  else if ((answer = json_from_string (out, &local)) == NULL)
    pv_throw (error, PV_ERROR_FAILED, "qemu-img's answer about '%s' is not understood", path);
  return answer;
}

PvLayers *
pv_layers_look (const char *path, const char *format, GError **error)
{
  gint64 now_us = g_get_real_time ();
  g_autoptr(JsonNode) node = ask_qemu_img (path, format, error);
  g_autoptr(PvLayers) self = layers_new ();
  JsonArray *images;

  if (node == NULL || !JSON_NODE_HOLDS_ARRAY (node))
    return NULL;
  images = json_node_get_array (node);
  for (guint i = 0; i < json_array_get_length (images); i++)
    {
      JsonObject *image = json_array_get_object_element (images, i);
      const char *name = image != NULL ? json_object_get_string_member_with_default (image, "filename", NULL) : NULL;
      Layer layer;

      if (name == NULL || !is_whole (image) || !look_at_file (name, &layer))
        return NULL;
      self->settled &= MAX (layer.modified_ns, layer.changed_ns) / 1000 + STEP_US < now_us;
      g_array_append_val (self->layers, layer);
    }
  return self->layers->len > 0 ? g_steal_pointer (&self) : NULL;
}

gboolean
pv_layers_settled (const PvLayers *self)
{
  return self->settled;
}

/* --- comparing --------------------------------------------------------------------------------- */

static gboolean
layer_equal (const Layer *a, const Layer *b)
{
  return a->device == b->device && a->inode == b->inode && a->size == b->size && a->modified_ns == b->modified_ns
         && a->changed_ns == b->changed_ns;
}

/* Whether all of @before is what @self has from layer @above on. */
static gboolean
ends_with (const PvLayers *self, const PvLayers *before, guint above)
{
  for (guint i = 0; i < before->layers->len; i++)
    if (!layer_equal (&g_array_index (self->layers, Layer, above + i), &g_array_index (before->layers, Layer, i)))
      return FALSE;
  return TRUE;
}

gboolean
pv_layers_equal (const PvLayers *a, const PvLayers *b)
{
  return a != NULL && b != NULL && a->layers->len == b->layers->len && ends_with (a, b, 0);
}

gboolean
pv_layers_unwritten (const PvLayers *now, const PvLayers *then)
{
  if (now == NULL || then == NULL || now->layers->len != then->layers->len)
    return FALSE;
  for (guint i = 0; i < now->layers->len; i++)
    {
      Layer layer = g_array_index (now->layers, Layer, i);
      const Layer *before = &g_array_index (then->layers, Layer, i);

      layer.changed_ns = before->changed_ns;
      if (!layer_equal (&layer, before))
        return FALSE;
    }
  return TRUE;
}

guint
pv_layers_above (const PvLayers *self, const PvLayers *before)
{
  if (self == NULL || before == NULL || self->layers->len <= before->layers->len)
    return 0;
  return ends_with (self, before, self->layers->len - before->layers->len) ? self->layers->len - before->layers->len
                                                                           : 0;
}

/* --- writing down ------------------------------------------------------------------------------ */

void
pv_layers_write (const PvLayers *self, JsonBuilder *builder)
{
  json_builder_begin_array (builder);
  for (guint i = 0; i < self->layers->len; i++)
    {
      gint64 *numbers[G_N_ELEMENTS (members)];

      layer_numbers (&g_array_index (self->layers, Layer, i), numbers);
      json_builder_begin_object (builder);
      for (guint j = 0; j < G_N_ELEMENTS (members); j++)
        {
          json_builder_set_member_name (builder, members[j]);
          json_builder_add_int_value (builder, *numbers[j]);
        }
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
}

static gboolean
read_layer (JsonNode *node, Layer *layer)
{
  gint64 *numbers[G_N_ELEMENTS (members)];

  if (!JSON_NODE_HOLDS_OBJECT (node))
    return FALSE;
  layer_numbers (layer, numbers);
  for (guint i = 0; i < G_N_ELEMENTS (members); i++)
    {
      JsonNode *number = json_object_get_member (json_node_get_object (node), members[i]);

      if (number == NULL || !JSON_NODE_HOLDS_VALUE (number) || json_node_get_value_type (number) != G_TYPE_INT64)
        return FALSE;
      *numbers[i] = json_node_get_int (number);
    }
  return TRUE;
}

PvLayers *
pv_layers_read (JsonNode *node)
{
  g_autoptr(PvLayers) self = layers_new ();
  JsonArray *array;

  if (node == NULL || !JSON_NODE_HOLDS_ARRAY (node))
    return NULL;
  array = json_node_get_array (node);
  if (json_array_get_length (array) == 0 || json_array_get_length (array) > MAX_LAYERS)
    return NULL;
  for (guint i = 0; i < json_array_get_length (array); i++)
    {
      Layer layer;

      if (!read_layer (json_array_get_element (array, i), &layer))
        return NULL;
      g_array_append_val (self->layers, layer);
    }
  return g_steal_pointer (&self);
}
