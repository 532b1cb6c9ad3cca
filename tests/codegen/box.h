/* SPDX-License-Identifier: MIT */
/* All that a library's header may have, for the tests of krepis-codegen. */
#ifndef BOX_H
#define BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <krepis/annotate.h>

struct box;

enum box_kind {
	KREPIS_BOX_OPEN,
	KREPIS_BOX_SHUT = 7,
};

struct pair {
	uint32_t a, b;
};

struct view {
	void *data;
	const struct box *box;
	uint64_t len;
	double weight;
	bool done;
};

void box_free(KREPIS_NULLABLE KREPIS_CONSUMES struct box *box);
void box_text_free(KREPIS_CONSUMES const char *text);
int box_make(const char *name, KREPIS_OWNED(box_free) struct box **out);
KREPIS_OWNED(box_free) struct box *box_copy(const struct box *box);
int box_find(struct box *box, KREPIS_BORROWED struct box **out, KREPIS_BORROWED const void **data);
int box_put(struct box *box, KREPIS_ARRAY(len) const void *data, size_t len);
int box_list(struct box *box, KREPIS_ARRAY(count) struct pair *pairs, int count);
int box_texts(KREPIS_ARRAY(n) const char *from, KREPIS_ARRAY(n) char *to, unsigned int n);
int box_look(struct box *box, KREPIS_NULLABLE KREPIS_BORROWED struct view *view);
int box_mark(struct box *box, KREPIS_BORROWED void *mark);
struct pair box_swap(struct box *box, struct pair pair);
KREPIS_BORROWED const char *box_name(const struct box *box);
KREPIS_OWNED(box_text_free) const char *box_print(const struct box *box);
KREPIS_BORROWED struct view *box_view(struct box *box);

/* Words of other languages, and of what is made. */
bool box_words(bool info, uint64_t env, int8_t in, enum box_kind type, char argv);
double box_weigh(float a, double b, uint16_t text, int64_t address);
size_t box_size(void);

#endif /* BOX_H */
