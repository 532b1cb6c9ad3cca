/* SPDX-License-Identifier: MIT */
#ifndef _KREPIS_VERSION_H
#define _KREPIS_VERSION_H

/* Of these headers, as in the file VERSION. krepis_version() is the library's. */
#define KREPIS_VERSION "0.1.0"

#endif /* _KREPIS_VERSION_H */
