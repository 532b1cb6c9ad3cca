// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file system: a channel is a file, a topic is a directory. Names and
 * permissions are the VFS's; here are only limits.
 */
#include <linux/ctype.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/seq_file.h>
#include <linux/statfs.h>
#include "internal.h"

#define DEFAULT_MODE		01777
#define DEFAULT_CHANNELS	65536

static struct kmem_cache *inode_cache;

static struct krepis_super *super_of(struct super_block *sb)
{
	return sb->s_fs_info;
}

/* Takes @pages of what the mount may use. Return: 0 or -ENOSPC. */
int krepis_super_charge(struct super_block *sb, unsigned long pages)
{
	struct krepis_super *s = super_of(sb);
	int err = -ENOSPC;

	spin_lock(&s->lock);
	if (s->pages <= s->max_pages && pages <= s->max_pages - s->pages) {
		s->pages += pages;
		err = 0;
	}
	spin_unlock(&s->lock);
	return err;
}

void krepis_super_uncharge(struct super_block *sb, unsigned long pages)
{
	struct krepis_super *s = super_of(sb);

	spin_lock(&s->lock);
	s->pages -= pages;
	spin_unlock(&s->lock);
}

/* The root is counted and not limited, so that @max_inodes is what users see. */
static bool take_inode(struct krepis_super *s)
{
	bool ok;

	spin_lock(&s->lock);
	ok = s->inodes <= s->max_inodes;
	s->inodes += ok;
	spin_unlock(&s->lock);
	return ok;
}

static void give_inode(struct krepis_super *s)
{
	spin_lock(&s->lock);
	s->inodes--;
	spin_unlock(&s->lock);
}

/* -------------------------------------------------------------------- inodes */

static const struct inode_operations dir_iops;
static const struct inode_operations file_iops;

static struct inode *alloc_inode(struct super_block *sb)
{
	struct krepis_inode *ki = alloc_inode_sb(sb, inode_cache, GFP_KERNEL);

	if (!ki)
		return NULL;
	ki->channel = NULL;
	return &ki->vfs;
}

static void free_inode(struct inode *inode)
{
	kmem_cache_free(inode_cache, krepis_inode(inode));
}

static void init_once(void *p)
{
	struct krepis_inode *ki = p;

	inode_init_once(&ki->vfs);
}

static void evict_inode(struct inode *inode)
{
	krepis_channel_destroy(inode);
	truncate_inode_pages_final(&inode->i_data);
	clear_inode(inode);
	give_inode(super_of(inode->i_sb));
}

static struct inode *make_inode(struct super_block *sb, struct mnt_idmap *idmap,
				const struct inode *dir, umode_t mode)
{
	struct inode *inode;

	if (!take_inode(super_of(sb)))
		return ERR_PTR(-ENOSPC);
	inode = new_inode(sb);
	if (!inode) {
		give_inode(super_of(sb));
		return ERR_PTR(-ENOMEM);
	}
	inode->i_ino = get_next_ino();
	inode_init_owner(idmap, inode, dir, mode);
	simple_inode_init_ts(inode);
	/* Stores through a mapping are messages, and no news of the file. */
	inode->i_flags |= S_NOCMTIME;
	if (S_ISDIR(mode)) {
		inode->i_op = &dir_iops;
		inode->i_fop = &simple_dir_operations;
		inc_nlink(inode);
	} else {
		inode->i_op = &file_iops;
		inode->i_fop = &krepis_channel_fops;
		inode->i_mapping->a_ops = &krepis_aops;
		mapping_set_unevictable(inode->i_mapping);
		mapping_set_large_folios(inode->i_mapping);
	}
	return inode;
}

static int make(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry, umode_t mode)
{
	struct inode *inode = make_inode(dir->i_sb, idmap, dir, mode);

	if (IS_ERR(inode))
		return PTR_ERR(inode);
	d_instantiate(dentry, inode);
	dget(dentry);	/* the name lives in the dentry alone */
	simple_inode_init_ts(dir);
	if (S_ISDIR(mode))
		inc_nlink(dir);
	return 0;
}

static int krepis_create(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry,
			 umode_t mode, bool excl)
{
	return make(idmap, dir, dentry, mode | S_IFREG);
}

static int krepis_mknod(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry,
			umode_t mode, dev_t dev)
{
	return S_ISREG(mode) ? make(idmap, dir, dentry, mode) : -EPERM;
}

static int krepis_mkdir(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry,
			umode_t mode)
{
	return make(idmap, dir, dentry, mode | S_IFDIR);
}

static int krepis_tmpfile(struct mnt_idmap *idmap, struct inode *dir, struct file *file,
			  umode_t mode)
{
	struct inode *inode = make_inode(dir->i_sb, idmap, dir, mode);

	if (IS_ERR(inode))
		return finish_open_simple(file, PTR_ERR(inode));
	d_tmpfile(file, inode);
	return finish_open_simple(file, 0);
}

/*
 * A name for what O_TMPFILE made, and no second name of anything: names are what
 * channels= limits. An endpoint's file has no name (see krepis_is_endpoint());
 * with a name, who holds it could open the whole channel.
 */
static int krepis_link(struct dentry *old, struct inode *dir, struct dentry *dentry)
{
	if (d_inode(old)->i_nlink || krepis_is_endpoint(old))
		return -EPERM;
	return simple_link(old, dir, dentry);
}

/* The size is SETUP's to say. */
static int krepis_setattr(struct mnt_idmap *idmap, struct dentry *dentry, struct iattr *attr)
{
	if (attr->ia_valid & ATTR_SIZE)
		return -EPERM;
	return simple_setattr(idmap, dentry, attr);
}

static const struct inode_operations dir_iops = {
	.create = krepis_create,
	.lookup = simple_lookup,
	.link = krepis_link,
	.unlink = simple_unlink,
	.mkdir = krepis_mkdir,
	.rmdir = simple_rmdir,
	.mknod = krepis_mknod,
	.rename = simple_rename,
	.tmpfile = krepis_tmpfile,
	.setattr = krepis_setattr,
	.getattr = simple_getattr,
};

static const struct inode_operations file_iops = {
	.setattr = krepis_setattr,
	.getattr = simple_getattr,
};

/* --------------------------------------------------------------------- mount */

enum { OPT_SIZE, OPT_CHANNELS, OPT_MODE, OPT_UID, OPT_GID };

static const struct fs_parameter_spec parameters[] = {
	fsparam_string("size", OPT_SIZE),
	fsparam_u32("channels", OPT_CHANNELS),
	fsparam_u32oct("mode", OPT_MODE),
	fsparam_u32("uid", OPT_UID),
	fsparam_u32("gid", OPT_GID),
	{}
};

static int krepis_statfs(struct dentry *dentry, struct kstatfs *st)
{
	struct krepis_super *s = super_of(dentry->d_sb);

	simple_statfs(dentry, st);
	spin_lock(&s->lock);
	st->f_blocks = s->max_pages;
	st->f_bfree = s->max_pages > s->pages ? s->max_pages - s->pages : 0;
	st->f_files = s->max_inodes;
	st->f_ffree = s->max_inodes >= s->inodes ? s->max_inodes + 1 - s->inodes : 0;
	spin_unlock(&s->lock);
	st->f_bavail = st->f_bfree;
	return 0;
}

static int show_options(struct seq_file *m, struct dentry *root)
{
	struct krepis_super *s = super_of(root->d_sb);
	struct user_namespace *ns = root->d_sb->s_user_ns;

	seq_printf(m, ",size=%luk,channels=%lu,mode=%03ho", s->max_pages << (PAGE_SHIFT - 10),
		   s->max_inodes, s->mode);
	if (!uid_eq(s->uid, GLOBAL_ROOT_UID))
		seq_printf(m, ",uid=%u", from_kuid_munged(ns, s->uid));
	if (!gid_eq(s->gid, GLOBAL_ROOT_GID))
		seq_printf(m, ",gid=%u", from_kgid_munged(ns, s->gid));
	return 0;
}

static const struct super_operations super_ops = {
	.alloc_inode = alloc_inode,
	.free_inode = free_inode,
	.evict_inode = evict_inode,
	.drop_inode = generic_delete_inode,
	.statfs = krepis_statfs,
	.show_options = show_options,
};

/* "64m", or a share of the machine's memory: "10%". */
static int parse_size(struct fs_context *fc, const char *text, unsigned long *pages)
{
	static const char units[] = "kmgt";
	size_t digits = strspn(text, "0123456789");
	const char *unit;
	char *end;
	u64 size;

	if (!digits || digits > 15)
		goto invalid;
	size = simple_strtoull(text, &end, 10);
	unit = *end ? strchr(units, tolower(*end)) : NULL;
	if (*end == '%' && size <= 100) {
		size = size * totalram_pages() / 100 << PAGE_SHIFT;
		end++;
	} else if (unit) {
		unsigned int shift = 10 * (unsigned int)(unit - units + 1);

		if (size > (U64_MAX >> 2) >> shift)
			goto invalid;
		size <<= shift;
		end++;
	}
	if (*end || size < PAGE_SIZE)
		goto invalid;
	*pages = size >> PAGE_SHIFT;
	return 0;

invalid:
	return invalf(fc, "krepis: size=%s: not a page or more, in bytes or with k, m, g, t or %%",
		      text);
}

static int parse_param(struct fs_context *fc, struct fs_parameter *param)
{
	struct krepis_super *s = fc->s_fs_info;
	struct fs_parse_result result;
	int opt = fs_parse(fc, parameters, param, &result);

	switch (opt) {
	case OPT_SIZE:
		return parse_size(fc, param->string, &s->max_pages);
	case OPT_CHANNELS:
		if (!result.uint_32)
			return invalf(fc, "krepis: channels=0: at least one");
		s->max_inodes = result.uint_32;
		return 0;
	case OPT_MODE:
		s->mode = result.uint_32 & 07777;
		return 0;
	case OPT_UID:
		s->uid = make_kuid(fc->user_ns, result.uint_32);
		return uid_valid(s->uid) ? 0 : invalf(fc, "krepis: uid=%u: not in this user namespace",
						      result.uint_32);
	case OPT_GID:
		s->gid = make_kgid(fc->user_ns, result.uint_32);
		return gid_valid(s->gid) ? 0 : invalf(fc, "krepis: gid=%u: not in this user namespace",
						      result.uint_32);
	default:
		return opt;
	}
}

static int fill_super(struct super_block *sb, struct fs_context *fc)
{
	struct krepis_super *s = super_of(sb);	/* sget_fc() took it from the context */
	struct inode *root;

	sb->s_magic = KREPIS_SUPER_MAGIC;
	sb->s_blocksize = PAGE_SIZE;
	sb->s_blocksize_bits = PAGE_SHIFT;
	sb->s_maxbytes = MAX_LFS_FILESIZE;
	sb->s_time_gran = 1;
	sb->s_op = &super_ops;
	sb->s_iflags |= SB_I_NOEXEC | SB_I_NODEV;
	root = make_inode(sb, &nop_mnt_idmap, NULL, s->mode | S_IFDIR);
	if (IS_ERR(root))
		return PTR_ERR(root);
	root->i_uid = s->uid;
	root->i_gid = s->gid;
	sb->s_root = d_make_root(root);
	return sb->s_root ? 0 : -ENOMEM;
}

static int get_tree(struct fs_context *fc)
{
	return get_tree_nodev(fc, fill_super);
}

/* Only the limits can change, and not below what is in use. */
static int reconfigure(struct fs_context *fc)
{
	struct krepis_super *s = super_of(fc->root->d_sb), *new = fc->s_fs_info;
	int err = 0;

	if (new->mode != s->mode || !uid_eq(new->uid, s->uid) || !gid_eq(new->gid, s->gid))
		return invalf(fc, "krepis: a remount changes size= and channels= only");
	spin_lock(&s->lock);
	if (new->max_pages < s->pages || new->max_inodes + 1 < s->inodes) {
		err = -EBUSY;
	} else {
		s->max_pages = new->max_pages;
		s->max_inodes = new->max_inodes;
	}
	spin_unlock(&s->lock);
	if (err)
		errorf(fc, "krepis: more is in use than the new limit allows");
	return err;
}

static void free_context(struct fs_context *fc)
{
	kfree(fc->s_fs_info);
}

static const struct fs_context_operations context_ops = {
	.parse_param = parse_param,
	.get_tree = get_tree,
	.reconfigure = reconfigure,
	.free = free_context,
};

static int init_context(struct fs_context *fc)
{
	struct krepis_super *s;

	if (fc->purpose == FS_CONTEXT_FOR_RECONFIGURE)
		s = kmemdup(fc->root->d_sb->s_fs_info, sizeof(*s), GFP_KERNEL);
	else
		s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
	if (!s)
		return -ENOMEM;
	if (fc->purpose != FS_CONTEXT_FOR_RECONFIGURE) {
		spin_lock_init(&s->lock);
		s->max_pages = totalram_pages() / 4;
		s->max_inodes = DEFAULT_CHANNELS;
		s->mode = DEFAULT_MODE;
		s->uid = current_fsuid();
		s->gid = current_fsgid();
	}
	fc->s_fs_info = s;
	fc->ops = &context_ops;
	return 0;
}

static void kill_super(struct super_block *sb)
{
	kill_litter_super(sb);
	kfree(sb->s_fs_info);
}

static struct file_system_type fs_type = {
	.owner = THIS_MODULE,
	.name = "krepis",
	.init_fs_context = init_context,
	.parameters = parameters,
	.kill_sb = kill_super,
	.fs_flags = FS_USERNS_MOUNT,
};

int krepis_fs_init(void)
{
	int err;

	inode_cache = kmem_cache_create("krepis_inode", sizeof(struct krepis_inode), 0,
					SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT, init_once);
	if (!inode_cache)
		return -ENOMEM;
	err = register_filesystem(&fs_type);
	if (err)
		kmem_cache_destroy(inode_cache);
	return err;
}

void krepis_fs_exit(void)
{
	unregister_filesystem(&fs_type);
	/* Inodes are freed after a grace period. */
	rcu_barrier();
	kmem_cache_destroy(inode_cache);
}
