#include <stdexcept>

#include "../room.h"

namespace sluice {

#define SLUICE_OP(kind) extern const OpRoom kind##_room;
#include <ops.inc>
#undef SLUICE_OP

namespace {

const OpRoom* const kRooms[] = {
#define SLUICE_OP(kind) &kind##_room,
#include <ops.inc>
#undef SLUICE_OP
};

}  // namespace

const OpRoom& room_of(const std::string& kind, const std::string& op) {
  for (const OpRoom* room : kRooms)
    if (kind == room->kind) return *room;
  throw std::invalid_argument("op '" + op + "': is of an unknown kind");
}

}  // namespace sluice
