/* SPDX-License-Identifier: MIT */
/*
 * What the checks of krepis doctor share.
 */
#ifndef _KREPIS_DOCTOR_H
#define _KREPIS_DOCTOR_H

#include "tool.h"

#define MODULE_DIRECTORY	"/run/krepis"	/* where the library looks, see lib/name.c */
#define CHANNEL_WANTED		(17ULL << 20)	/* a channel of default size */

/* Where it counts, MISSING breaks the backend in use, and SLOW does not. */
enum state { OK, SLOW, MISSING };

/**
 * struct finding - the result of one check
 * @state: enum state
 * @text:  what was found, and what it means
 * @next:  what to type next, or empty
 */
struct finding {
	enum state state;
	char text[512];
	char next[256];
};

#define SAY(f, s, ...)  do {						\
	(f)->state = (s);						\
	snprintf((f)->text, sizeof((f)->text), __VA_ARGS__);		\
} while (0)
#define NEXT(f, ...)	snprintf((f)->next, sizeof((f)->next), __VA_ARGS__)

/* doctor.c */
int doctor_place(char *path, size_t size);
bool doctor_file_has(const char *path, const char *word);

/* doctor_module.c */
bool doctor_on_module(const char *path);
bool doctor_mount_of(const char *path, char *mount, size_t size);
void doctor_kmod(struct finding *f);
void doctor_signature(struct finding *f);
void doctor_mount(struct finding *f);
void doctor_memlock(struct finding *f);
void doctor_uring(struct finding *f);

/* doctor_sandbox.c */
void doctor_lsm(struct finding *f);
void doctor_bpffs(struct finding *f);
void doctor_caps(struct finding *f);
void doctor_landlock(struct finding *f);

#endif /* _KREPIS_DOCTOR_H */
