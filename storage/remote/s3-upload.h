/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that go up in parts (multipart uploads). The object appears when the last step is done, whole. */
#pragma once

#include "remote/s3-client.h"

G_BEGIN_DECLS

/* Does what @put, a PUT of a file, asks for in parts of @part_size bytes (more when there would be too many). What is
 * there afterwards has been asked for its size. When it fails, the parts are removed if the server can be reached. */
gboolean pv_s3_upload (PvS3Client *client, const PvS3Request *put, guint64 part_size, GError **error);

/* Removes uploads below the prefix of @client that were begun more than @age seconds ago. Adds to @n_removed. */
gboolean pv_s3_upload_sweep (PvS3Client *client, guint64 age, guint64 *n_removed, GCancellable *cancellable,
                             GError **error);

G_END_DECLS
