#include "plan.h"

#include <algorithm>
#include <map>
#include <stdexcept>

#include "ops/room.h"

namespace sluice {
namespace {

constexpr size_t kMostFloats = size_t{1} << 31;    // 8 GiB of activations
constexpr int64_t kMostListed = int64_t{1} << 26;  // channels of all open-lists

Reading reading_of(const ProgramSpec& program, const OpSpec& op) {
  return op.room->reading == nullptr ? Reading{} : op.room->reading(program, op);
}

int stand_in_of(const OpSpec& op) { return op.room->stand_in == nullptr ? -1 : op.room->stand_in(op); }

// The fewest segments that a map consists of: flags one after another that close equally many channels each.
std::vector<ListSegment> segments_of(const ChannelMaps& maps, const ChannelMap& map) {
  const auto run_length = [&](size_t at) {
    return std::find_if(map.begin() + at, map.end(), [&](int64_t flag) { return flag != map[at]; }) - map.begin() -
           at;
  };
  std::vector<ListSegment> segments;
  for (size_t at = 0; at < map.size();) {
    const int length = static_cast<int>(run_length(at)), channel = static_cast<int>(at);
    const auto [gate, first] = maps.flag(map[at]);
    ListSegment segment = {gate, first, 1, length, channel};
    if (gate == -1) segment = {-1, 0, length, 1, channel};
    for (at += length; gate != -1 && at < map.size(); at += length, ++segment.flags)
      if (maps.flag(map[at]) != std::pair(gate, first + segment.flags) || static_cast<int>(run_length(at)) != length)
        break;
    segments.push_back(segment);
  }
  return segments;
}

bool has_whole_blocks(const ChannelMap& map) {
  for (size_t c = 0; c < map.size(); ++c)
    if (map[c] != map[c / kLanes * kLanes]) return false;
  return true;
}

OpenListSpec list_of_map(const ChannelMaps& maps, const ChannelMap& map) {
  OpenListSpec list;
  list.segments = segments_of(maps, map);
  list.channels = static_cast<int>(map.size());
  list.whole_blocks = has_whole_blocks(map);
  for (const ListSegment& segment : list.segments)
    list.closes_alone = list.closes_alone && segment.gate == list.segments[0].gate;
  return list;
}

}  // namespace

Plan::Plan(const ProgramSpec& program, int threads) : program_(program), threads_(threads) {
  made_by_.assign(program.values.size(), -1);
  for (size_t i = 0; i < program.ops.size(); ++i)
    if (program.ops[i].output != -1) made_by_[program.ops[i].output] = static_cast<int>(i);
  find_lists();
  find_geometries();
  find_lives();
  place();
}

void Plan::find_lists() {
  const ChannelMaps maps(program_);
  std::map<ChannelMap, int> known;
  int64_t listed = 0;
  list_of_.assign(program_.values.size(), -1);
  lists_after_.resize(program_.values.size());
  for (size_t v = 0; v < program_.values.size(); ++v) {
    most_channels_ = std::max(most_channels_, program_.values[v].channels());
    ChannelMap map = maps[static_cast<int>(v)];
    if (map.empty()) continue;
    const auto [found, is_new] = known.emplace(std::move(map), static_cast<int>(lists_.size()));
    list_of_[v] = found->second;
    if (!is_new) continue;
    listed += static_cast<int64_t>(found->first.size());
    if (listed > kMostListed) throw std::invalid_argument("program: its channel maps are too large");
    lists_.push_back(list_of_map(maps, found->first));
    int last = -1;
    for (const ListSegment& segment : lists_.back().segments)
      if (segment.gate != -1 && (last == -1 || made_by_[segment.gate] > made_by_[last])) last = segment.gate;
    lists_after_[last].push_back(list_of_[v]);
  }
}

void Plan::find_geometries() {
  geometry_of_.assign(program_.values.size(), -1);
  for (size_t v = 0; v < program_.values.size(); ++v) {
    const ValueSpec& value = program_.values[v];
    const int height = value.height(), width = value.width();
    const auto same = [&](const Geometry& g) {
      return g.plane == value.is_plane() && g.height == height && g.width == width;
    };
    auto found = std::find_if(geometries_.begin(), geometries_.end(), same);
    if (found == geometries_.end()) found = geometries_.insert(geometries_.end(), {value.is_plane(), height, width});
    geometry_of_[v] = static_cast<int>(found - geometries_.begin());
  }
  std::vector<int> behind(geometries_.size(), 0);
  for (const OpSpec& op : program_.ops) {
    if (op.inputs.empty()) continue;
    const Reading reading = reading_of(program_, op);
    const int read = geometry_of_[op.inputs[0]];
    geometries_[read].border = std::max(geometries_[read].border, reading.before);
    behind[read] = std::max(behind[read], reading.behind);
  }
  for (size_t i = 0; i < geometries_.size(); ++i) {
    Geometry& g = geometries_[i];
    g.row = static_cast<size_t>(g.width + 2 * g.border + behind[i]) * kLanes;
    g.block = static_cast<size_t>(g.height + 2 * g.border + behind[i]) * g.row;
  }
}

void Plan::find_lives() {
  last_use_.assign(program_.values.size(), -1);
  for (size_t i = 0; i < program_.ops.size(); ++i)
    for (const int input : program_.ops[i].inputs) last_use_[input] = static_cast<int>(i);
  for (const int output : program_.outputs) last_use_[output] = static_cast<int>(program_.ops.size());
}

int Plan::take_slot(int value) {
  const int geometry = geometry_of_[value];
  const size_t size = static_cast<size_t>(blocks_of(program_.values[value].channels())) * geometries_[geometry].block;
  std::vector<int>& free = free_slots_[geometry];
  if (free.empty()) {
    free.push_back(static_cast<int>(slot_sizes_.size()));
    slot_sizes_.push_back(0);
  }
  const int slot = free.back();
  free.pop_back();
  slot_sizes_[slot] = std::max(slot_sizes_[slot], size);
  return slot;
}

void Plan::place() {
  slot_of_.assign(program_.values.size(), -1);
  free_slots_.resize(geometries_.size());
  if (!read_as_image(program_.input)) slot_of_[program_.input] = take_slot(program_.input);
  for (size_t i = 0; i < program_.ops.size(); ++i) {
    const OpSpec& op = program_.ops[i];
    const int now = static_cast<int>(i);
    if (op.output != -1 && !value(op.output).is_gate) {
      const int residual = stand_in_of(op);
      const bool over = residual != -1 && last_use_[residual] == now && residual != op.inputs[0];
      slot_of_[op.output] = over ? slot_of_[residual] : take_slot(op.output);
      if (over) last_use_[residual] = -1;  // its slot goes on as the output's
      if (last_use_[op.output] == -1) free_slots_[geometry_of_[op.output]].push_back(slot_of_[op.output]);
    }
    std::vector<int> ending = op.inputs;
    std::sort(ending.begin(), ending.end());
    ending.erase(std::unique(ending.begin(), ending.end()), ending.end());
    for (const int input : ending)
      if (last_use_[input] == now && slot_of_[input] != -1)
        free_slots_[geometry_of_[input]].push_back(slot_of_[input]);
  }
  size_t total = 0;
  for (const size_t size : slot_sizes_) total += std::min(size, kMostFloats);
  if (total > kMostFloats) throw std::invalid_argument("program: its values need more than 8 GiB");
}

View Plan::view_in(int value, float* slot) const {
  const Geometry& g = geometries_[geometry_of_[value]];
  return {slot + g.border * g.row + static_cast<size_t>(g.border) * kLanes, g.height, g.width, g.row, g.block};
}

bool Plan::is_output(int value) const {
  return std::count(program_.outputs.begin(), program_.outputs.end(), value) != 0;
}

bool Plan::read_as_image(int value) const {
  if (value != program_.input || is_output(value)) return false;
  for (const OpSpec& op : program_.ops)
    if (std::count(op.inputs.begin(), op.inputs.end(), value) != 0 && !reading_of(program_, op).image) return false;
  return true;
}

bool Plan::is_settled(int value, const std::string& activation) const {
  if (activation == "none") return true;
  if (activation != "relu" && activation != "relu6") return false;
  while (made_by_[value] != -1) {
    const OpSpec& op = program_.ops[made_by_[value]];
    for (const char* name : {"activation", "function"})
      if (const auto found = op.attributes.find(name); found != op.attributes.end())
        return found->second == Attribute(activation);
    if (std::string("max_pool") != op.room->kind) return false;
    value = op.inputs[0];
  }
  return false;
}

}  // namespace sluice
