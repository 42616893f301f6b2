// Where each value lives, decided once when a program is loaded.
//
// Values with the same plane share a geometry, and memory is reused only among them, so their zero border is
// written only once. A convolution that adds a residual writes into the residual's memory if nothing else reads
// the residual later. So a branch that a layer gate closes takes no work at all: its output is already
// there.
#pragma once

#include <vector>

#include "kernels/kernel_table.h"
#include "program.h"

namespace sluice {

// How an op reads its first input.
struct Reading {
  int before = 0;      // zeros that it reads left of and above the plane, and right of and below it
  int behind = 0;      // and so many more right of and below it
  bool image = false;  // reads the program's input as it was given, without lanes
};

struct Geometry {
  bool plane;  // or a vector, which has no border
  int height, width;
  int border = 0;    // pixels left of and above the plane; at least as many right of and below it
  size_t row = 0;    // floats
  size_t block = 0;  // floats
};

// Channels side by side of which one gate closes `repeat` each, flag by flag. Of gate -1: `flags` channels, always
// open.
struct ListSegment {
  int gate;  // index of the gate's value
  int first, flags;
  int repeat;   // channels per flag
  int channel;  // the first
};

// What decides which channels of a value are stored. Values of one channel map share it.
struct OpenListSpec {
  std::vector<ListSegment> segments;
  int channels = 0;
  bool whole_blocks = true;  // the 16 channels of each block are closed by one flag, or by none
  bool closes_alone = true;  // one gate closes all of them: where it is closed the list is empty
};

class Plan final {
 public:
  // `program` is checked, and outlives the plan.
  Plan(const ProgramSpec& program, int threads);

  const ProgramSpec& program() const { return program_; }
  const ValueSpec& value(int index) const { return program_.values[index]; }
  int threads() const { return threads_; }

  const std::vector<OpenListSpec>& lists() const { return lists_; }
  int list_of(int value) const { return list_of_[value]; }  // -1 where no channel is gated
  bool is_gated(int value) const { return list_of_[value] != -1; }
  bool has_whole_blocks(int value) const { return !is_gated(value) || lists_[list_of_[value]].whole_blocks; }
  const std::vector<int>& lists_after(int gate) const { return lists_after_[gate]; }  // of whose gates it is the last
  int most_channels() const { return most_channels_; }

  const std::vector<size_t>& slots() const { return slot_sizes_; }  // floats each
  int slot_of(int value) const { return slot_of_[value]; }
  View view_in(int value, float* slot) const;  // where the value lies in its slot

  bool is_output(int value) const;
  bool read_as_image(int value) const;  // the program's input, wanted without lanes by all who read it
  bool is_settled(int value, const std::string& activation) const;  // applying `activation` again changes nothing

 private:
  void find_lists();
  void find_geometries();
  void find_lives();
  void place();
  int take_slot(int value);

  const ProgramSpec& program_;
  int threads_;
  int most_channels_ = 1;
  std::vector<OpenListSpec> lists_;
  std::vector<std::vector<int>> lists_after_;
  std::vector<int> list_of_, slot_of_, geometry_of_, last_use_, made_by_;  // per value
  std::vector<Geometry> geometries_;
  std::vector<size_t> slot_sizes_;
  std::vector<std::vector<int>> free_slots_;  // per geometry
};

}  // namespace sluice
