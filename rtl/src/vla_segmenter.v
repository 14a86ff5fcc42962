// Cut runs into segments: pieces that end where an aligned group of SegLines lines of the memory side ends,
// so that a segment is one burst that crosses no 4 KB boundary; or, for moves on chip, groups of GroupUnits.
// Does: one segment per cycle, also across runs. Does not: merge runs, or choose who moves a segment.
// Latency: one cycle. Handshake: runs and segments are ready/valid; busy_o is high while a run is held.
// A run starts on a line of the memory side; a line holds LineUnits units of the other side's words.
`default_nettype none
module vla_segmenter #(
  parameter LineAw     = 32,  // bits of a memory-side address, in lines
  parameter WordAw     = 20,  // bits of the other address, in units
  parameter RunBits    = 16,  // bits of a run's length, in units
  parameter LineUnits  = 4,   // units in a line, a power of two
  parameter SegLines   = 16,  // lines in a segment, a power of two
  parameter GroupUnits = 4    // units in a group on chip
) (
  input  wire                                  clk_i,
  input  wire                                  rst_i,
  input  wire                                  local_i,  // on chip: both addresses are in units
  input  wire                                  run_valid_i,
  output wire                                  run_ready_o,
  input  wire [LineAw-1:0]                     run_line_i,
  input  wire [WordAw-1:0]                     run_word_i,
  input  wire [RunBits-1:0]                    run_units_i,
  output wire                                  busy_o,
  output wire                                  seg_valid_o,
  input  wire                                  seg_ready_i,
  output wire [LineAw-1:0]                     seg_line_o,
  output wire [WordAw-1:0]                     seg_word_o,
  output wire [$clog2(SegLines*LineUnits):0]   seg_units_o,
  output wire                                  seg_first_o  // of its run
);

  localparam SegBits = $clog2(SegLines * LineUnits) + 1;  // a segment's length
  localparam LineLog = $clog2(SegLines);
  localparam UnitLog = $clog2(LineUnits);

  reg               valid_q;
  reg [LineAw-1:0]  line_q;
  reg [WordAw-1:0]  word_q;
  reg [RunBits-1:0] left_q;
  reg               first_q;

  // Lines and units up to the next cut.
  wire [LineLog:0]   room_lines = {1'b1, {LineLog{1'b0}}} - {1'b0, line_q[LineLog-1:0]};
  wire [SegBits-1:0] aligned    = {{UnitLog{1'b0}}, room_lines} << UnitLog;
  wire [SegBits-1:0] group      = GroupUnits[SegBits-1:0];
  wire [SegBits-1:0] room       = local_i ? group : aligned;
  // The same, as wide as any address.
  wire [31:0] unit_step = {{(32 - SegBits){1'b0}}, room};
  wire [31:0] line_step = local_i ? unit_step : {{(31 - LineLog){1'b0}}, room_lines};
  wire               last       = left_q <= unit_step[RunBits-1:0];

  assign seg_valid_o = valid_q;
  assign seg_line_o  = line_q;
  assign seg_word_o  = word_q;
  assign seg_units_o = last ? left_q[SegBits-1:0] : room;
  assign seg_first_o = first_q;
  assign busy_o      = valid_q;
  assign run_ready_o = !valid_q || (seg_ready_i && last);

  always @(posedge clk_i) begin
    if (rst_i) valid_q <= 1'b0;
    else if (run_ready_o) valid_q <= run_valid_i;
  end

  always @(posedge clk_i) begin
    if (run_ready_o) begin
      line_q  <= run_line_i;
      word_q  <= run_word_i;
      left_q  <= run_units_i;
      first_q <= 1'b1;
    end else if (seg_ready_i) begin
      line_q  <= line_q + line_step[LineAw-1:0];
      word_q  <= word_q + unit_step[WordAw-1:0];
      left_q  <= left_q - unit_step[RunBits-1:0];
      first_q <= 1'b0;
    end
  end

endmodule
`default_nettype wire
