/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* One of two views that tell when they were run. */
#include "moment.h"

VIEW_MOMENT(first)
