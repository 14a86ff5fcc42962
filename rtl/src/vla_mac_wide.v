// int16 results of the MAC engine: add the residual, saturate, mask, and give the two planes one after the other.
// Does: sat16(q + residual); in packets with row maxima at least -32767, and -32768 for a masked column or a residual of
// -32768.
// Does not: requantize, stall, or fetch the residual. Values come at least two cycles apart.
// Latency: valid_i -> words_valid_o 2 cycles for the low plane, 3 for the high one; valid_o and q_o with the low plane.
// Same arithmetic as vla_isa.numerics.residual16 and masked_logits, behind their clamp18.
`default_nettype none
module vla_mac_wide #(
  parameter Block = 16,
  parameter Group = 2    // pixels
) (
  input  wire                      clk_i,
  input  wire                      rst_i,
  input  wire                      maxima_i,    // constant while a packet runs
  input  wire                      valid_i,
  input  wire [18*Group*Block-1:0] q_i,         // [pixel][channel]
  input  wire [16*Group*Block-1:0] residual_i,  // planes [byte][pixel][channel], 0 without one
  input  wire [5*Group-1:0]        columns_i,   // of each pixel: channels that are not masked
  output wire                      valid_o,
  output wire [16*Group*Block-1:0] q_o,
  output wire                      words_valid_o,
  output wire [8*Group*Block-1:0]  words_o
);

  localparam Lanes = Group * Block;

  reg [2:1] valid_q;
  reg       high_q;
  always @(posedge clk_i) begin
    if (rst_i) begin
      valid_q <= 2'b00;
      high_q  <= 1'b0;
    end else begin
      valid_q <= {valid_q[1], valid_i};
      high_q  <= valid_q[2];
    end
  end

  assign valid_o       = valid_q[2];
  assign words_valid_o = valid_q[2] || high_q;

  wire signed [18:0] lo = {4'b1111, 14'd0, maxima_i};
  localparam signed [18:0] Hi = 19'sd32767;

  genvar l;
  generate
    for (l = 0; l < Lanes; l = l + 1) begin : g_lane
      localparam ChannelInt = l % Block;
      localparam [4:0] Channel = ChannelInt[4:0];
      wire [15:0]       residual = {residual_i[8*(Lanes + l) +: 8], residual_i[8*l +: 8]};
      wire [17:0]       q = q_i[18*l +: 18];
      reg signed [18:0] sum_q;
      reg               masked_q;
      reg [15:0]        value_q;

      always @(posedge clk_i) begin
        if (valid_i) begin
          sum_q    <= {q[17], q} + {{3{residual[15]}}, residual};
          masked_q <= maxima_i && (residual == 16'h8000 || columns_i[5*(l/Block) +: 5] <= Channel);
        end
        if (valid_q[1]) begin
          if (masked_q)        value_q <= 16'h8000;
          else if (sum_q < lo) value_q <= lo[15:0];
          else if (sum_q > Hi) value_q <= Hi[15:0];
          else                 value_q <= sum_q[15:0];
        end
      end

      assign q_o[16*l +: 16]   = value_q;
      assign words_o[8*l +: 8] = high_q ? value_q[15:8] : value_q[7:0];
    end
  endgenerate

endmodule
`default_nettype wire
