// The table of a ROW packet, as rows of 8 bytes: 32 rows (int8 over results), 64 (dither) or 128 (int16 over a).
// Does: load it from the parameter memory at the start of a packet that has one, four rows per cycle; give every lane
// its row.
// Does not: keep a table for the next packet (the parameter memory may have changed), stall look-ups.
// Latency: look-up 1 cycle; loading 3 + 2 per parameter word + 1 per four rows, ready_o says when done.
`include "vla_isa.vh"
`default_nettype none
module vla_row_table #(
  parameter Block     = 16,
  parameter ParamAw   = 11,   // address bits of the parameter memory
  parameter ParamBits = 1024,
  parameter Lanes     = 32
) (
  input  wire                 clk_i,
  input  wire                 rst_i,
  input  wire                 start_i,
  // constant while a packet runs
  input  wire [1:0]           mode_i,
  input  wire [ParamAw-1:0]   base_i,
  output wire                 ready_o,
  // parameter memory
  output wire                 param_rd_valid_o,
  output wire [ParamAw-1:0]   param_rd_addr_o,
  input  wire                 param_rd_grant_i,
  input  wire [ParamBits-1:0] param_rd_data_i,
  // look-up
  input  wire                 en_i,
  input  wire [7*Lanes-1:0]   row_i,
  output wire [64*Lanes-1:0]  row_o
);

  localparam Groups = Block / 4;  // of four rows of 8 bytes in a parameter word

  reg [255:0]         table_q [0:31];
  reg                 load_q;    // loading
  reg                 want_q;    // the next word is to be requested
  reg                 arrive_q;  // the granted word is on param_rd_data_i
  reg                 rows_q;    // its rows are being written
  reg [4:0]           group_q;   // the next four
  reg [ParamAw-1:0]   addr_q;
  reg [ParamBits-1:0] word_q;

  assign ready_o          = !load_q && !start_i;
  assign param_rd_valid_o = want_q;
  assign param_rd_addr_o  = addr_q;

  wire       enable   = mode_i != `VLA_ROW_TABLE_MODE_NONE;
  wire [4:0] last     = mode_i == `VLA_ROW_TABLE_MODE_IN16 ? 5'd31 : mode_i == `VLA_ROW_TABLE_MODE_OUT8 ? 5'd7 : 5'd15;
  wire       granted  = want_q && param_rd_grant_i;
  wire       word_end = rows_q && (&group_q[$clog2(Groups)-1:0]);
  wire       load_end = rows_q && group_q == last;

  always @(posedge clk_i) begin
    if (rst_i) begin
      load_q   <= 1'b0;
      want_q   <= 1'b0;
      arrive_q <= 1'b0;
      rows_q   <= 1'b0;
    end else begin
      if (start_i && enable) load_q <= 1'b1;
      else if (load_end) load_q <= 1'b0;
      if (granted) want_q <= 1'b0;
      else if ((start_i && enable) || (word_end && !load_end)) want_q <= 1'b1;
      arrive_q <= granted;
      if (arrive_q) rows_q <= 1'b1;
      else if (word_end) rows_q <= 1'b0;
    end
  end

  always @(posedge clk_i) begin
    if (start_i) begin
      addr_q  <= base_i;
      group_q <= 5'd0;
    end else begin
      if (granted) addr_q <= addr_q + 1'b1;
      if (rows_q) group_q <= group_q + 5'd1;
    end
    if (arrive_q) word_q <= param_rd_data_i;
    else if (rows_q) word_q <= {256'd0, word_q[ParamBits-1:256]};
    if (rows_q) table_q[group_q] <= word_q[255:0];
  end

  genvar l;
  generate
    for (l = 0; l < Lanes; l = l + 1) begin : g_lane
      reg  [63:0]  row_of_q;
      wire [255:0] group = table_q[row_i[7*l + 2 +: 5]];
      always @(posedge clk_i) begin
        if (en_i) row_of_q <= group[64*row_i[7*l +: 2] +: 64];
      end
      assign row_o[64*l +: 64] = row_of_q;
    end
  endgenerate

endmodule
`default_nettype wire
