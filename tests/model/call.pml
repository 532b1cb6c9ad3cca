/* SPDX-License-Identifier: MIT */
/* How the models call the functions of include/krepis; see step.h. */

#define BIT(i)	(1 << (i))

#define CHECK	if (model_error) uerror((char *)model_error)

/* Actor @self calls @fn, one access a step; @next runs with the last one. */
#define CALL(self, fn, next)						\
	do								\
	:: atomic {							\
		c_code { model_step(self, fn); CHECK; };		\
		if							\
		:: c_expr { !model_actor[self].running } ->		\
			c_code { next; CHECK; };			\
			break						\
		:: else							\
		fi							\
	   }								\
	od
