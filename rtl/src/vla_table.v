// A 256-byte table of results: q becomes byte q + 128.
// Does: keep the table of the running packet as 16 rows of 16 bytes, written one row per cycle from the
// parameter words as they come; look up Lanes bytes per cycle, or pass them on.
// Does not: read memory, stall look-ups, or see to it that the table is complete before they come.
// Latency: look-up 1 cycle. word_i is taken when word_valid_i is high and busy_o is low.
`default_nettype none
module vla_table #(
  parameter Lanes     = 32,
  parameter ParamBits = 1024  // bits of a parameter word
) (
  input  wire                 clk_i,
  input  wire                 rst_i,
  input  wire                 enable_i,      // else bytes pass; constant while a packet runs
  input  wire                 word_valid_i,
  input  wire                 word_first_i,  // it holds byte 0 of the table
  input  wire [ParamBits-1:0] word_i,
  output wire                 busy_o,
  input  wire                 valid_i,
  input  wire [8*Lanes-1:0]   q_i,
  output wire                 valid_o,
  output wire [8*Lanes-1:0]   q_o
);

  localparam       RowCount = ParamBits / 128;
  localparam [4:0] Rows     = RowCount[4:0];

  reg [ParamBits-1:0] word_q;
  reg [3:0]           row_q;
  reg [4:0]           rows_left_q;
  reg                 valid_q;

  assign busy_o  = rows_left_q != 5'd0;
  assign valid_o = valid_q;

  always @(posedge clk_i) begin
    if (rst_i) begin
      rows_left_q <= 5'd0;
      valid_q     <= 1'b0;
    end else begin
      valid_q <= valid_i;
      if (word_valid_i) rows_left_q <= Rows;
      else if (busy_o) rows_left_q <= rows_left_q - 5'd1;
    end
  end

  always @(posedge clk_i) begin
    if (word_valid_i) begin
      word_q <= word_i;
      if (word_first_i) row_q <= 4'd0;
    end else if (busy_o) begin
      word_q <= {128'd0, word_q[ParamBits-1:128]};
      row_q  <= row_q + 4'd1;
    end
  end

  genvar l;
  generate
    for (l = 0; l < Lanes; l = l + 1) begin : g_lane
      reg  [127:0] table_q [0:15];  // a copy for each lane: a small memory has one port to read
      reg  [7:0]   byte_q;
      wire [7:0]   q   = q_i[8*l +: 8];
      wire [127:0] row = table_q[{!q[7], q[6:4]}];
      assign q_o[8*l +: 8] = byte_q;
      always @(posedge clk_i) begin
        if (!word_valid_i && busy_o) table_q[row_q] <= word_q[127:0];
        if (valid_i) byte_q <= enable_i ? row[{q[3:0], 3'b000} +: 8] : q;
      end
    end
  endgenerate

endmodule
`default_nettype wire
