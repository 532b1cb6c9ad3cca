// SPDX-License-Identifier: MIT
// What no header says. It comes behind what is made of them.

const std = @import("std");

/// Of these definitions. krepis_version() is the library's.
pub const KREPIS_VERSION = "@VERSION@";

/// Fails if the library that was loaded is of another version: error.LibraryIsOlder, or
/// error.DefinitionsAreOlder. To be asked before the first channel, as a struct of another
/// version may have another layout. Thread-safe.
pub fn krepis_check_version() !void {
    return checkVersion(std.mem.span(krepis_version().?));
}

fn checkVersion(library: []const u8) !void {
    const theirs = try std.SemanticVersion.parse(library);
    return switch (theirs.order(comptime try std.SemanticVersion.parse(KREPIS_VERSION))) {
        .eq => {},
        .lt => error.LibraryIsOlder,
        .gt => error.DefinitionsAreOlder,
    };
}

test "another version is an error that says which is older" {
    try krepis_check_version();
    try std.testing.expectError(error.LibraryIsOlder, checkVersion("0.0.1"));
    try std.testing.expectError(error.DefinitionsAreOlder, checkVersion("999.0.0"));
    try std.testing.expectError(error.InvalidVersion, checkVersion("no version"));
}
